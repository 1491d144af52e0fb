"""What the engines `openai` of all services do in the same way: open the client, answer items, say who they are."""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from merrflow_serving import commands
from merrflow_serving.answers import Usage
from merrflow_serving.engine import Endpoint, EngineInfo, Limits, Wanted, always
from merrflow_serving.errors import Abandoned, EngineFault, InvalidInput, MerrflowError, NotReady
from merrflow_serving.openai.address import endpoint_of, looked_up
from merrflow_serving.openai.errors import Refused
from merrflow_serving.openai.replies import refused, reported
from merrflow_serving.openai.settings import OpenAISettings

if TYPE_CHECKING:
    from merrflow_serving.openai.client import Client
    from merrflow_serving.openai.replies import Reply, Transcription

Item = TypeVar("Item")
Result = TypeVar("Result")
S = TypeVar("S", bound=OpenAISettings)
LOAD_TRIES = 5  # of a question while the engine loads, about 8 s if the endpoint fails at once; then Info says so
ITEM_SECONDS = 480.0  # for which an item's questions are repeated; then its caller may try again
RUN_SHARE = 0.8  # of `max_run_seconds`, at most


class Calls:
    """The calls of the endpoint for one item, and what they took."""

    def __init__(
        self, client: Client, is_wanted: Callable[[], bool], seconds: float, prompt_version: str = "", *, tries: int = 0
    ) -> None:
        """seconds: for all calls together. tries: of each; 0 for as many as there is time for."""
        self._client = client
        self._is_wanted = is_wanted
        self._until = time.monotonic() + seconds
        self._prompt_version = prompt_version
        self._tries = tries
        self.usage: Usage | None = None  # of all calls so far

    def chat(self, messages: Sequence[Mapping[str, Any]], **body: Any) -> Reply:
        """See `Client.chat`. body: such as `temperature`; None is left out."""
        if not self._is_wanted():
            raise Abandoned
        try:
            reply = self._client.chat({"messages": list(messages), **body}, self._is_wanted, self._until, self._tries)
        except Refused as error:
            reply = refused(str(error), self._client.called)
        self._add(reply.usage)
        return reply

    def transcribe(self, wav: bytes, seconds: float, **options: Any) -> Transcription:
        """See `Client.transcribe`. seconds: of sound. Raises `InvalidInput` too if the provider's filter refuses it."""
        if not self._is_wanted():
            raise Abandoned
        try:
            found, calls, took = self._client.transcribe(wav, options, self._is_wanted, self._until, self._tries)
        except Refused as error:
            raise InvalidInput(f"the endpoint refuses this recording: {error}", reason="ENDPOINT_REFUSES") from None
        counts, called = found.usage, self._client.called
        self._add(
            Usage(
                called.host,
                reported(found.model, called),
                input_tokens=counts.input_tokens if counts else 0,
                output_tokens=counts.output_tokens if counts else 0,
                seconds=took,
                calls=calls,
                audio_seconds=seconds,
            )
        )
        return found

    def _add(self, usage: Usage) -> None:
        usage = replace(usage, prompt_version=self._prompt_version)
        self.usage = self.usage + usage if self.usage else usage


class OpenAIEngine(ABC, Generic[S, Item, Result]):
    """An engine of items that are answered one by one, each in a lane; see `merrflow_serving.engine.Engine`."""

    stops_early = True

    def __init__(self, settings: S, distribution: str) -> None:
        """distribution: what has the extra `openai`, for messages."""
        self.settings = settings
        self.lanes = (
            settings.openai_concurrency + 2 + settings.openai_concurrency // 4
        )  # some prepare the next requests
        self._distribution = distribution
        self._client: Client | None = None
        self._endpoint: Endpoint | None = endpoint_of(settings.openai_base_url) if settings.openai_base_url else None

    @abstractmethod
    def info(self) -> EngineInfo: ...

    @abstractmethod
    def prepare(self) -> None:
        """Reads prompts and what else `load` needs. Raises `NotReady`."""

    @abstractmethod
    def check(self, calls: Callable[[], Calls]) -> None:
        """Asks the endpoint a short question of the kind that items ask. Raises what is wrong with it."""

    @abstractmethod
    def answer(self, item: Item, calls: Callable[[str], Calls]) -> Result:
        """The result of one item. calls: new ones, for a prompt version. Raises `MerrflowError`."""

    def endpoint(self) -> Endpoint:
        return self._endpoint or Endpoint("")

    def load(self) -> None:
        """Opens the client and asks the endpoint a short question. Raises `NotReady` that says what to do."""
        self.prepare()
        try:
            from merrflow_serving.openai.client import Client
        except ImportError as error:
            raise NotReady(
                f"the engine openai needs {error.name or error}: "
                f"{commands.install(self._distribution.removeprefix('merrflow-'), 'openai')}",
                reason="ENGINE_MISSING",
            ) from error
        self.close()
        self._client = client = Client(self.settings)
        self._endpoint = looked_up(self.settings.openai_base_url)
        try:
            # A server may load its model only when it is asked: one call may take as long as any.
            seconds = 2 * self.settings.openai_timeout_seconds
            self.check(lambda: Calls(client, lambda: True, seconds, tries=LOAD_TRIES))
        except InvalidInput as error:
            raise NotReady(str(error), reason=error.reason) from error

    def run(self, batch: Sequence[Item], wanted: Wanted = always) -> list[Result | MerrflowError]:
        """One result or error for each item; several lanes run at once, so one batch need not hold many."""
        client = self._client
        if client is None:
            return [EngineFault("the engine is used before it is loaded") for _ in batch]
        results: list[Result | MerrflowError] = []
        for place, item in enumerate(batch):
            calls = partial(Calls, client, partial(wanted, place), self._seconds() / len(batch))
            try:
                results.append(self.answer(item, calls))
            except MerrflowError as error:
                results.append(error)
        return results

    def close(self) -> None:
        """Ends what is in flight."""
        if self._client is not None:
            self._client.close()
            self._client = None

    interrupt = close

    def identity(self, limits: Limits, **fields: Any) -> EngineInfo:
        """`EngineInfo` of the endpoint's model. The host is not part of it: a model that moves stays the same model."""
        return EngineInfo(
            engine="openai",
            model=self.settings.openai_model,
            revision="",
            device="endpoint",
            dtype="",
            limits=limits,
            **fields,
        )

    def extra(self) -> str:
        """What the settings add to every request, for the stamp of a prompt."""
        return json.dumps(self.settings.openai_extra_body, sort_keys=True)

    def _seconds(self) -> float:
        longest = self.settings.max_run_seconds
        return min(ITEM_SECONDS, longest * RUN_SHARE) if longest else ITEM_SECONDS
