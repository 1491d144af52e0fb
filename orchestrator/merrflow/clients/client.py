"""`merrflow.Client` and `merrflow.AsyncClient`: one service, called from Python without a run, Prefect or a ledger.

Both wait until the model is loaded, try again what may pass, stream large media, and spread calls over the replicas.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from merrflow.clients.services import Answer, Services
from merrflow.common.v1 import common_pb2
from merrflow.core.errors import InputError
from merrflow.core.labels import LabelScores
from merrflow.core.measurements import ActionUnitSeries
from merrflow.core.paths import path_text
from merrflow.core.settings_file import load_settings
from merrflow.core.spoken import Translation
from merrflow.core.texts import Clues, Reasoning, Scene, Tone
from merrflow_serving.catalog import SERVICES

Media = str | Path | bytes  # a file's path, or its bytes
Given = ParamSpec("Given")
Result = TypeVar("Result")
ONCE = "a client is for one `with` block: make another one"


class AsyncClient:
    """One service. An async context manager: connects and waits for the model, and closes.

    Raises `InputError` for unusable arguments; `MerrflowError` with the service's own code and reason, such as
    "MEDIA_UNREADABLE"; `NotReady`, one of them, if the service does not answer or cannot work.
    """

    def __init__(
        self,
        service: str,
        address: str = "",
        *,
        config: str | Path | None = None,
        say: Callable[[str], None] = lambda text: None,
        **settings: Any,
    ) -> None:
        """service: its name, such as "llama3". address: host:port, a name of several hosts, or a list with commas;
        empty for the setting `<service>_address` or else the service's port on this machine.

        config, settings: as for `merrflow.annotate`, such as `token`, `tls_ca`, `ready_seconds`, `retry_seconds`.
        say: called with what the service does while it is waited for.
        """
        if service not in tuple(SERVICES):
            raise InputError(f"there is no service {service!r:.80}; the services are: {', '.join(SERVICES)}")
        if not isinstance(address, str):
            raise InputError(f"address: a text such as host:port is wanted, not {type(address).__name__}")
        loaded = load_settings(_path("config", config) if config else None, **settings)
        own: str = getattr(loaded, f"{service.replace('-', '_')}_address")
        self.address = address or own or f"127.0.0.1:{SERVICES[service].port}"
        self.service = service
        self._services = Services({service: self.address}, loaded)
        self._say = say
        self._is_open = self._is_closed = False

    async def __aenter__(self) -> Self:
        if self._is_open or self._is_closed:
            raise InputError(ONCE)
        try:
            await self._services.__aenter__()
            await self._services.wait_ready(self._say)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open, self._is_closed = False, True
        await self._services.__aexit__()

    @property
    def info(self) -> common_pb2.InfoResponse:
        """What the service said of itself: engine, model, revision, limits."""
        return self._services.connections[self.service].info

    async def action_units(self, video: Media, *, clip: str = "") -> Answer[ActionUnitSeries]:
        """openface-au: the Action Units of every face in every frame. clip: its name in the service's log."""
        services, name = self._open(), _named(clip, video)
        if isinstance(video, bytes):
            return await services.action_units_in(name, video)
        with _reading():
            return await services.action_units(name, _path("video", video).absolute())

    async def describe(
        self, image: Media, *, context: Iterable[tuple[float, Media]] = (), clip: str = ""
    ) -> Answer[Scene]:
        """minigpt-v2: what a picture shows. context: frames around it, with seconds after it (negative: before)."""
        services = self._open()
        frames = [(seconds, await _bytes(frame)) for seconds, frame in context]
        return await services.scene(_named(clip, image), await _bytes(image), frames)

    async def tone(self, sound: Media, *, clip: str = "") -> Answer[Tone]:
        """qwen-audio: how a voice sounds. sound: a WAV file, or another sound or video file."""
        services = self._open()
        return await services.tone(_named(clip, sound), await _bytes(sound))

    async def reason(
        self,
        *,
        scene: str = "",
        expressions: Sequence[str] = (),
        tone: str = "",
        subtitle: str = "",
        translation: str = "",
        label: str = "",
        seed: int = 0,
        clip: str = "",
    ) -> Answer[Reasoning]:
        """llama3: why the person feels `label`, from at least one clue. translation: of the subtitle, into English.
        label: empty to leave the emotion open."""
        clues = Clues(scene, tuple(expressions), tone, subtitle, translation)
        return await self._open().reason(clip, clues, label, seed)

    async def score(
        self,
        labels: Sequence[str],
        *,
        scene: str = "",
        expressions: Sequence[str] = (),
        tone: str = "",
        subtitle: str = "",
        translation: str = "",
        clip: str = "",
    ) -> Answer[LabelScores]:
        """llama3: how likely each of these labels is, given the clues."""
        return await self._open().score(clip, Clues(scene, tuple(expressions), tone, subtitle, translation), labels)

    async def translate(self, text: str, *, language: str = "", seed: int = 0, clip: str = "") -> Answer[Translation]:
        """llama3: what is said, in English; its text is empty if the outcome is not done. language: of the text, as a
        code such as "zh". An engine that cannot translate is a `MerrflowError` with the reason NO_TRANSLATION."""
        return await self._open().translate(clip, text, language, seed)

    def _open(self) -> Services:
        if not self._is_open:
            raise self._not_open()
        return self._services

    def _not_open(self) -> InputError:
        state = "closed" if self._is_closed else "not open: use it in a `with` block"
        return InputError(f"the client of {self.service} is {state}")


def _blocking(
    method: Callable[Concatenate[AsyncClient, Given], Coroutine[Any, Any, Result]],
) -> Callable[Concatenate[Client, Given], Result]:
    """The same method, for a `Client`: it returns once the answer is there."""

    @wraps(method)
    def call(self: Client, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        return self._run(method(self._client, *args, **kwargs))

    return call


class Client:
    """The same for code without an event loop, such as a notebook's. Several threads may share one.

    An example: `with merrflow.Client("qwen-audio") as client: print(client.tone("voice.wav").value.text)`
    """

    def __init__(
        self,
        service: str,
        address: str = "",
        *,
        config: str | Path | None = None,
        say: Callable[[str], None] = lambda text: None,
        **settings: Any,
    ) -> None:
        """See `AsyncClient`."""
        self._client = AsyncClient(service, address, config=config, say=say, **settings)
        self._loop: asyncio.AbstractEventLoop | None = None  # while it is open
        self._thread: threading.Thread | None = None  # of the loop: a notebook has a loop running in its own already

    def __enter__(self) -> Self:
        if self._thread:
            raise InputError(ONCE)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="merrflow-client", daemon=True)
        self._thread.start()
        try:
            self._run(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._run(self._client.__aexit__(kind, error, trace))
        finally:
            self._stop()

    @property
    def info(self) -> common_pb2.InfoResponse:
        """See `AsyncClient.info`."""
        return self._client.info

    action_units = _blocking(AsyncClient.action_units)
    describe = _blocking(AsyncClient.describe)
    tone = _blocking(AsyncClient.tone)
    reason = _blocking(AsyncClient.reason)
    score = _blocking(AsyncClient.score)
    translate = _blocking(AsyncClient.translate)

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        if not self._loop:
            work.close()
            raise self._client._not_open()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def _stop(self) -> None:
        if not self._loop or not self._thread:
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None


async def _cancel_others() -> None:
    """Ends the calls that other threads still wait for."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def _reading() -> Iterator[None]:
    """Raises `InputError` for a file that cannot be read."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error


async def _bytes(media: Media) -> bytes:
    if isinstance(media, bytes):
        return media
    with _reading():
        return await asyncio.to_thread(_path("media", media).read_bytes)


def _named(clip: str, media: Media) -> str:
    """A name for the service's log: the file's, if none is given."""
    return clip or ("" if isinstance(media, bytes) else path_text(Path(_path("media", media).stem)))


def _path(name: str, value: object) -> Path:
    if not isinstance(value, str | os.PathLike) or not str(value) or "\0" in str(value):
        raise InputError(f"{name}: the path of a file is wanted, not {value!r:.80}")
    return Path(value)
