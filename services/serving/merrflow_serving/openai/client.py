"""The client of an endpoint, for engines whose threads each wait for one answer.

All requests run on one event loop in a thread of its own, so that one for which nobody waits any more can be cancelled:
then the server stops as well. As many requests as the settings allow are in flight. A `Parallel` engine has a few more
lanes, whose requests are ready to take a slot as soon as it is free; none waits for the rest of a batch.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future, wait
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import openai
import structlog

from merrflow_serving.errors import Abandoned, NotReady
from merrflow_serving.openai.address import host_of
from merrflow_serving.openai.errors import Called, Passing, wrong_answer
from merrflow_serving.openai.failures import failure_of, pause
from merrflow_serving.openai.pace import Pace
from merrflow_serving.openai.replies import Reply, Transcription, chat_reply, reported, transcription
from merrflow_serving.openai.settings import OpenAISettings

log = structlog.get_logger()
T = TypeVar("T")
CHECK_SECONDS = 0.2  # between two looks at whether somebody still waits
CLOSE_SECONDS = 10.0
MOST_BYTES = 32 << 20  # of an answer
MOST_KEPT = 512  # replies
KEY_HEADER = "Authorization"
_NOT_READ = ("OpenAI-Organization", "OpenAI-Project")  # headers that the package takes from the environment


@dataclass(frozen=True)
class Timed(Generic[T]):
    """An answer, and what it took."""

    value: T
    calls: int
    seconds: float


class Client:
    """Calls one endpoint, from any thread."""

    def __init__(self, settings: OpenAISettings) -> None:
        """Connects to nothing yet. Raises `NotReady` if address, model or key are missing or cannot be used."""
        prefix = settings.variable("openai_")
        if not settings.openai_base_url:
            raise NotReady(f"no endpoint is set: {prefix}BASE_URL, such as http://localhost:8000/v1")
        if not settings.openai_model:
            raise NotReady(f"no model is set: {prefix}MODEL, as the endpoint names it")
        key = _key(settings, prefix)
        headers = {name: value.get_secret_value() for name, value in settings.openai_headers.items()}
        secrets = tuple(filter(None, (key, *headers.values())))
        self.called = Called(host_of(settings.openai_base_url), settings.openai_model, secrets, prefix)
        self._settings = settings
        self._pace = Pace(settings.openai_requests_per_minute)
        self._slots = asyncio.Semaphore(settings.openai_concurrency)
        self._kept: OrderedDict[str, Reply] = OrderedDict()
        self._reported = ""  # the model's name in the last answer
        self._tasks: set[asyncio.Task[Any]] = set()
        left_out = (*_NOT_READ, *_custom_headers(), *([] if key else [KEY_HEADER]))
        self._headers: Any = {name: openai.Omit() for name in left_out} | headers
        self._closing = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="endpoint", daemon=True)
        self._openai = openai.AsyncOpenAI(
            base_url=settings.openai_base_url,
            api_key=key or "none",
            max_retries=0,  # `_until_answered` repeats, because it counts, and pauses all requests together
            timeout=settings.openai_timeout_seconds,
            # What is sent goes where the settings say, not where a server points to.
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False),
        )
        self._thread.start()

    def chat(self, body: Mapping[str, Any], is_wanted: Callable[[], bool], until: float, tries: int = 0) -> Reply:
        """A chat completion. until: monotonic time after which nothing is tried any more. tries: calls; 0: no limit.

        The same body gives the same reply without a second call, if it is asked again soon: when a caller lost its
        connection, or a later attempt failed. Raises `Passing`, `NotReady` for wrong settings, `InvalidInput` for what
        the endpoint will never take, and `Abandoned`. A reply that the provider's filter withheld is refused.
        """
        return self._wait(self._chat(self._complete(body), until, tries), is_wanted)

    def transcribe(
        self, wav: bytes, options: Mapping[str, Any], is_wanted: Callable[[], bool], until: float, tries: int = 0
    ) -> tuple[Transcription, int, float]:
        """A transcription, the calls that it took and their seconds; errors as `chat`, and `failures.Refused`."""
        timed = self._wait(self._transcribe(wav, self._complete(options), until, tries), is_wanted)
        return timed.value, timed.calls, timed.seconds

    def close(self) -> None:
        """Ends all requests: their callers get `NotReady`."""
        with self._closing:
            if self._loop.is_closed():
                return
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(CLOSE_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_SECONDS)
            self._loop.close()

    # -- on the callers' threads

    def _complete(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """With the model and the extra body; what is null there is left out."""
        whole = {"model": self.called.model, **body, **self._settings.openai_extra_body}
        return {name: value for name, value in whole.items() if value is not None}

    def _wait(self, work: Coroutine[Any, Any, T], is_wanted: Callable[[], bool]) -> T:
        try:
            future: Future[T] = asyncio.run_coroutine_threadsafe(self._followed(work), self._loop)
        except RuntimeError:
            work.close()
            raise NotReady("the engine is closed") from None
        while not wait([future], CHECK_SECONDS).done:
            if not is_wanted():
                future.cancel()
                raise Abandoned
        if future.cancelled():
            raise NotReady("the engine is closed")
        return future.result()

    # -- on the event loop

    async def _followed(self, work: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            return await work
        finally:
            self._tasks.discard(task)

    async def _end(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._openai.close()

    async def _chat(self, body: dict[str, Any], until: float, tries: int) -> Reply:
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        if digest in self._kept:
            self._kept.move_to_end(digest)
            return self._kept[digest]

        async def call(seconds: float) -> Reply:
            # All of it as the extra body: the package would walk through the messages by their types for a millisecond.
            answer = self._openai.chat.completions.with_streaming_response.create(
                model=body["model"], messages=[], extra_body=body, extra_headers=self._headers
            )
            return chat_reply(await self._read(answer, seconds), self.called)

        timed = await self._until_answered(call, until, tries)
        usage = replace(timed.value.usage, calls=timed.calls, seconds=timed.seconds)
        reply = self._kept[digest] = replace(timed.value, usage=usage)
        self._notice(usage.model)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return reply

    async def _transcribe(self, wav: bytes, options: dict[str, Any], until: float, tries: int) -> Timed[Transcription]:
        plain = options.get("response_format") == "text"
        others = {name: value for name, value in options.items() if name != "model"}

        async def call(seconds: float) -> Transcription:
            answer = self._openai.audio.transcriptions.with_streaming_response.create(
                file=("speech.wav", wav, "audio/wav"),
                model=options["model"],
                extra_body=others,
                extra_headers=self._headers,
            )
            return transcription(await self._read(answer, seconds), self.called, plain=plain)

        timed = await self._until_answered(call, until, tries)
        self._notice(reported(timed.value.model, self.called))
        return timed

    async def _until_answered(self, call: Callable[[float], Awaitable[T]], until: float, tries: int) -> Timed[T]:
        """Repeats the call for as long as its failures may pass. Raises `Passing` and all other errors at once."""
        calls, limited, unguided, took = 0, 0, 0, 0.0
        failure = Passing(f"the endpoint {self.called.host} limits the rate")
        while True:
            async with self._slots:
                if not await self._pace.turn(until):
                    break
                calls += 1
                started = time.monotonic()
                try:
                    value = await call(min(self._settings.openai_timeout_seconds, max(0.1, until - started)))
                    return Timed(value, calls, took + time.monotonic() - started)
                except Passing as error:
                    failure = error
                except Exception as error:
                    found = failure_of(error, self.called)
                    if not isinstance(found, Passing):
                        raise found from None
                    failure = found
                took += time.monotonic() - started
            unguided += failure.wait is None
            seconds = pause(failure, unguided)
            log.debug("the endpoint is asked again", seconds=round(seconds, 2), calls=calls, why=str(failure))
            if failure.all_wait:
                self._pace.pause(seconds)
            limited += bool(failure.tries)
            if calls == tries or 0 < failure.tries <= limited or time.monotonic() + seconds > until:
                break
            await asyncio.sleep(seconds)
        raise failure

    async def _read(self, answer: AbstractAsyncContextManager[Any], seconds: float) -> bytes:
        """The body of an answer, at most `MOST_BYTES`, within `seconds`."""
        content = bytearray()
        async with (
            asyncio.timeout(seconds),
            answer as response,
        ):  # the package's limit is for each read: a server may drip
            async for chunk in response.iter_bytes():
                content += chunk
                if len(content) > MOST_BYTES:
                    raise wrong_answer(self.called, f"more than {MOST_BYTES >> 20} MiB")
        return bytes(content)

    def _notice(self, model: str) -> None:
        """Every answer records its model; a change is logged as well, because records then mix models."""
        if self._reported and model != self._reported:
            log.warning(
                "the endpoint reports another model than before; answers record theirs",
                endpoint=self.called.host,
                before=self._reported,
                now=model,
            )
        self._reported = model


def _custom_headers() -> list[str]:
    """The names in OPENAI_CUSTOM_HEADERS, which are another program's too."""
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()
    return [line.partition(":")[0].strip() for line in lines if ":" in line]


def _key(settings: OpenAISettings, prefix: str) -> str:
    """The key, from the environment or its file; "" for none. Raises `NotReady` that does not show it."""
    file = settings.openai_api_key_file
    if file is None:
        key = settings.openai_api_key.get_secret_value().strip()
    else:
        try:
            key = file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", "") or "it must be ASCII"
            raise NotReady(f"{prefix}API_KEY_FILE: {file} cannot be read ({why})", reason="KEY_MISSING") from None
        if not key:
            raise NotReady(f"{prefix}API_KEY_FILE: {file} is empty", reason="KEY_MISSING")
    if not key.isascii() or any(one.isspace() or not one.isprintable() for one in key):
        raise NotReady(f"the key in {prefix}API_KEY or its file must be one word of ASCII", reason="KEY_MISSING")
    return key
