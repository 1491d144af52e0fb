"""`merrflow.AsyncClient`: one service, called from Python without a run, Prefect or a ledger.

It waits until the model is loaded, tries again what may pass, streams large media, and spreads calls over the replicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from merrflow.clients.services import Answer, Services
from merrflow.common.v1 import common_pb2
from merrflow.core.arguments import as_path, as_seed, as_text, as_texts, unusable
from merrflow.core.errors import InputError
from merrflow.core.labels import LabelScores
from merrflow.core.measurements import ActionUnitSeries
from merrflow.core.paths import path_text
from merrflow.core.settings_file import load_settings
from merrflow.core.spoken import Translation
from merrflow.core.texts import Clues, Reasoning, Scene, Tone
from merrflow_serving.catalog import SERVICES

Media = str | Path | bytes  # a file's path, or its bytes
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
            raise unusable("address", "a text such as host:port", address)
        if not callable(say):
            raise unusable("say", "a function of a text", say)
        loaded = load_settings(None if config is None else as_path("config", config), **settings)
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
        return self._open().connections[self.service].info

    async def action_units(self, video: Media, *, clip: str = "") -> Answer[ActionUnitSeries]:
        """openface-au: the Action Units of every face in every frame. clip: its name in the service's log."""
        name = _named(clip, "video", video)
        with self._call() as services:
            if isinstance(video, bytes):
                return await services.action_units_in(name, video)
            with _reading():
                return await services.action_units(name, as_path("video", video).absolute())

    async def describe(
        self, image: Media, *, context: Iterable[tuple[float, Media]] = (), clip: str = ""
    ) -> Answer[Scene]:
        """minigpt-v2: what a picture shows. context: frames around it, with seconds after it (negative: before)."""
        with self._call() as services:
            frames = [await _frame(pair) for pair in (context if isinstance(context, Iterable) else [context])]
            return await services.scene(_named(clip, "image", image), await _bytes("image", image), frames)

    async def tone(self, sound: Media, *, clip: str = "") -> Answer[Tone]:
        """qwen-audio: how a voice sounds. sound: a WAV file, or another sound or video file."""
        with self._call() as services:
            return await services.tone(_named(clip, "sound", sound), await _bytes("sound", sound))

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
        clues = _clues(scene, expressions, tone, subtitle, translation)
        with self._call() as services:
            return await services.reason(as_text("clip", clip), clues, as_text("label", label), as_seed("seed", seed))

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
        """llama3: how likely each of these labels is, given the clues. labels: two or more, each once."""
        clues, closed_set = _clues(scene, expressions, tone, subtitle, translation), as_texts("labels", labels)
        if "" in closed_set or not 1 < len(closed_set) == len(set(closed_set)):
            raise unusable("labels", "a list of two or more different labels", closed_set)
        with self._call() as services:
            return await services.score(as_text("clip", clip), clues, closed_set)

    async def translate(self, text: str, *, language: str = "", seed: int = 0, clip: str = "") -> Answer[Translation]:
        """llama3: what is said, in English; its text is empty if the outcome is not done. language: of the text, as a
        code such as "zh". An engine that cannot translate is a `MerrflowError` with the reason NO_TRANSLATION."""
        words, code = as_text("text", text), as_text("language", language)
        with self._call() as services:
            return await services.translate(as_text("clip", clip), words, code, as_seed("seed", seed))

    @contextmanager
    def _call(self) -> Iterator[Services]:
        """For one call, which ends with an `InputError` if the client is closed meanwhile."""
        services, task = self._open(), asyncio.current_task()
        try:
            yield services
        except (asyncio.CancelledError, grpc.aio.UsageError):  # the second for a channel that is closed
            if self._is_open or (task and task.cancelling()):  # it is the caller who was cancelled
                raise
            raise self._not_open() from None

    def _open(self) -> Services:
        if not self._is_open:
            raise self._not_open()
        return self._services

    def _not_open(self) -> InputError:
        state = "closed" if self._is_closed else "not open: use it in a `with` block"
        return InputError(f"the client of {self.service} is {state}")


@contextmanager
def _reading() -> Iterator[None]:
    """Raises `InputError` for a file that cannot be read."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read ({error.strerror})") from error


async def _bytes(name: str, media: Media) -> bytes:
    if isinstance(media, bytes):
        return media
    with _reading():
        return await asyncio.to_thread(as_path(name, media).read_bytes)


async def _frame(given: Any) -> tuple[float, bytes]:
    """A frame of the context as the service takes it."""
    match given:
        case (Real() as seconds, frame):
            return float(seconds), await _bytes("context", frame)
    raise unusable("context", "a pair of seconds and a picture", given)


def _clues(scene: str, expressions: Sequence[str], tone: str, subtitle: str, translation: str) -> Clues:
    return Clues(
        as_text("scene", scene),
        as_texts("expressions", expressions),
        as_text("tone", tone),
        as_text("subtitle", subtitle),
        as_text("translation", translation),
    )


def _named(clip: str, argument: str, media: Media) -> str:
    """A name for the service's log: the file's, if none is given."""
    named = as_text("clip", clip)
    return named or ("" if isinstance(media, bytes) else path_text(Path(as_path(argument, media).stem)))
