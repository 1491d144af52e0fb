"""An endpoint of OpenAI's protocol in this process, whose answers a function decides: for benchmarks and tests."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from aiohttp import web

Body = dict[str, Any]
Answer = Callable[["Asked"], Awaitable[web.StreamResponse]]


class Asked:
    """One request."""

    def __init__(self, number: int, request: web.Request, body: Body, file: bytes) -> None:
        self.number = number  # from 0, of all requests
        self.request = request
        self.path = request.path
        self.headers = request.headers
        self.body = body
        self.file = file

    @property
    def text(self) -> str:
        """The text of the last message."""
        content = self.body.get("messages", [{"content": ""}])[-1]["content"]
        if isinstance(content, str):
            return content
        return " ".join(part["text"] for part in content if part["type"] == "text")

    @property
    def parts(self) -> list[str]:
        """The types of the last message's parts."""
        content = self.body.get("messages", [{"content": ""}])[-1]["content"]
        return [] if isinstance(content, str) else [part["type"] for part in content]


def completion(text: str = "yes", **changes: Any) -> Body:
    """A chat completion as OpenAI documents it. changes: of the choice, else of the whole."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}, "logprobs": None}
    whole = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "tiny-1",
        "system_fingerprint": "fp_1",
        "usage": {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13},
    }
    choice |= {name: value for name, value in changes.items() if name in choice}
    return whole | {"choices": [choice]} | {name: value for name, value in changes.items() if name not in choice}


def error(status: int, message: str, *, code: str | None = None, headers: dict[str, str] | None = None) -> web.Response:
    """An error as OpenAI documents it."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return web.json_response(body, status=status, headers=headers)


class FakeEndpoint:
    """Listens on a free port of this machine inside a `with`. `answer` may be changed at any time.

    keep: whether `asked` holds the requests.
    """

    def __init__(self, answer: Answer, *, keep: bool = True) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.count = 0  # requests so far
        self._keep = keep
        self.at_once = 0  # the most requests in flight
        self._now = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake endpoint", daemon=True)
        self._runner: web.AppRunner | None = None
        self.url = ""

    def __enter__(self) -> FakeEndpoint:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/{rest:.*}", self._handle)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body: Body = {}
        file = b""
        if request.content_type == "multipart/form-data":
            for name, value in (await request.post()).items():
                if isinstance(value, web.FileField):
                    file = value.file.read()
                else:
                    body[name] = value
        else:
            body = json.loads(await request.read())
        asked = Asked(self.count, request, body, file)
        self.count += 1
        if self._keep:
            self.asked.append(asked)
        self._now += 1
        self.at_once = max(self.at_once, self._now)
        try:
            return await self.answer(asked)
        finally:
            self._now -= 1


def fixed(slots: int, seconds: float) -> Answer:
    """Answers chats after `seconds`, with `slots` at a time; the others wait. Counts tokens by parts and words."""
    free = asyncio.Semaphore(slots)

    async def answer(asked: Asked) -> web.StreamResponse:
        async with free:
            await asyncio.sleep(seconds)
        tokens = len(asked.text.split()) + 64 * sum(part != "text" for part in asked.parts)
        return web.json_response(completion("A man sits.", usage={"prompt_tokens": tokens, "completion_tokens": 4}))

    return answer


@contextmanager
def endpoint_process(module: str, *given: object) -> Iterator[tuple[str, Callable[[], str]]]:
    """An endpoint in a process of its own: `python -m module ...`, which prints its URL and ends with its standard
    input. Yields the URL, and what ends it and returns what it printed then."""
    command = [sys.executable, "-m", module, *map(str, given)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        yield process.stdout.readline().strip(), lambda: process.communicate(timeout=30)[0]
    finally:
        process.kill()
        process.wait(20)


def main() -> None:
    """`python -m benchmarks.support.endpoint SLOTS SECONDS`: an endpoint of fixed latency until standard input ends."""
    with FakeEndpoint(fixed(int(sys.argv[1]), float(sys.argv[2]))) as endpoint:
        print(endpoint.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
