"""What a stage is: one step of a clip's work, with all that the pipeline must know to run it and to cache its result.

A stage computes from frozen dataclasses to a frozen dataclass. `graph.py` lists the stages; the order of the work, what
runs at the same time, cache keys, codecs, GPU phases and the picture in docs/architecture.md follow from what is here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from merrflow.core.labels import LabelScores
from merrflow.core.measurements import ActionUnitSeries, Clip
from merrflow.core.records import Outcome
from merrflow.core.settings import RunSettings
from merrflow.core.spoken import Transcript, Translation
from merrflow.core.texts import Clues, Origin, Reasoning, Scene, Tone
from merrflow.facs import Lexicon, RuleSet
from merrflow.formats.precomputed import Precomputed
from merrflow.stages.claims.judge import Judge
from merrflow.stages.held import Held
from merrflow.stages.witnesses.rules import Witnesses

if TYPE_CHECKING:  # OCR takes half a second to import, which a client of one service has no use for
    from merrflow.stages.text_reader import SharedReader
    from merrflow.stages.text_samples import TextSample
    from merrflow_serving.media.video import VideoFrame

Value = TypeVar("Value")
Identity = Mapping[str, str]  # of an engine: what its answers depend on
FIRST_VERSION = "1"


@dataclass(frozen=True)
class Reply(Generic[Value]):
    """What a stage computed, with the engine that answered and whether the answer is whole."""

    value: Value
    origin: Origin | None = None
    outcome: Outcome = Outcome.DONE
    reason: str = ""  # why the outcome is not DONE


@dataclass(frozen=True)
class Skip:
    """What a stage returns if the clip ends there, filtered by a rule. `reason`: a sentence without a full stop."""

    reason: str


@dataclass(frozen=True)
class Missing:
    """Why a clip has nothing for an optional stage, such as no sound track; empty if that needs no word."""

    reason: str


@dataclass(frozen=True)
class Result(Generic[Value]):
    """A stage's result for one clip, computed now or taken from the stage cache."""

    value: Value
    origin: Origin | None = None
    outcome: Outcome = Outcome.DONE
    reason: str = ""
    seconds: float | None = None  # wall time of a cached stage
    again: bool = False  # of a second engine that could not be asked: the next run asks it again


class Services(Protocol):
    """The model services; see `merrflow.clients`. Each call raises `MerrflowError`."""

    async def action_units(self, clip: str, path: Path) -> Reply[ActionUnitSeries]: ...
    async def scene(self, clip: str, image: bytes, context: Sequence[tuple[float, bytes]]) -> Reply[Scene]: ...
    async def tone(self, clip: str, wav: bytes) -> Reply[Tone]: ...
    async def reason(self, clip: str, clues: Clues, label: str, seed: int) -> Reply[Reasoning]: ...
    async def transcribe(self, clip: str, wav: bytes) -> Reply[Transcript]: ...
    async def translate(self, clip: str, text: str, language: str, seed: int) -> Reply[Translation]: ...
    async def score(self, clip: str, clues: Clues, labels: Sequence[str]) -> Reply[LabelScores]: ...


class InThread(Protocol):
    """Runs blocking work on a thread, off the event loop."""

    def __call__(self, function: Callable[..., Value], *arguments: Any) -> Awaitable[Value]: ...


@dataclass(frozen=True)
class Second:
    """A second engine of a role (a witness), as its stages call it."""

    role: str
    identity: Identity  # without a model if it never answered
    services: Services


@dataclass(frozen=True)
class Run:
    """What the clips of a run have in common."""

    settings: RunSettings
    rules: RuleSet
    lexicon: Lexicon
    witnesses: Witnesses
    identities: Mapping[str, Identity]  # service -> its engine
    reader: SharedReader  # OCR for burned-in text
    precomputed: Precomputed | None  # Action Units from files, instead of the service
    out: Path  # the output folder
    services: Services
    in_thread: InThread
    second: Mapping[str, Second] = field(default_factory=dict)  # by name
    judge: Judge | None = None  # of texts of second engines
    samples: Held[TextSample] = field(default_factory=Held)  # until they are read for subtitles
    frames: Held[VideoFrame] = field(default_factory=Held)  # until the picture is made of them
    decoder_threads: int = 0  # of one clip's decoder; 0: one per core

    def let_go(self, clip: str) -> None:
        """Drops what decoding left of a clip that has ended or pauses."""
        self.samples.take(clip)
        self.frames.take(clip)

    def heard_by(self, witness: str) -> Run:
        """The same run with a second engine in the place of its role's main engine."""
        found = self.second[witness]
        return replace(self, services=found.services, identities={**self.identities, found.role: found.identity})


@dataclass(frozen=True)
class Work:
    """What a stage works with, besides the results that it needs."""

    clip: Clip
    run: Run
    use: Callable[[str], Awaitable[Any]]  # the value of a stage in `uses`, computed at most once a clip


def _no_key(work: Work, *needs: Any) -> Any:
    return []


def _no_problem(reply: Reply[Any]) -> str:
    return ""


@dataclass(frozen=True)
class Stage(Generic[Value]):
    """One step.

    `compute(work, *needs)` is given the values of `needs` in their order. It returns the value, a `Reply`, or a `Skip`
    (the clip ends here); it may be a coroutine function. Without `result` it must be cheap: it is then computed in
    every run.
    """

    name: str
    purpose: str  # a few words, for the picture
    compute: Callable[..., Any]
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()  # stages that must have let the clip go on, although their results are not needed
    uses: tuple[str, ...] = ()  # lazy stages, fetched by `work.use` if there is anything to compute
    reads_clip: bool = True  # False: only results of other stages; they count even if the clip's file is gone by then
    lazy: bool = False  # computed only if another stage uses it; not a part of the record
    service: str | None = None  # its name in the catalog; None for work of this process
    result: type[Value] | None = None  # what the stage cache keeps; None for stages that are not cached
    version: str = FIRST_VERSION  # raise it if the code changes what comes out; see tests/orchestrator/stages
    key: Callable[..., Any] = _no_key  # (work, *needs) -> what the result depends on, besides the clip's bytes
    settings: tuple[str, ...] = ()  # settings of the run that change the result
    data_version: Callable[[], str] | None = None  # of the YAML file that it reads, if any
    check: Callable[[Reply[Any]], str] = field(default=_no_problem)  # why an engine's answer cannot be used, or ""
    # Its results take milliseconds to pack, so that this is done on a thread; what `check` lets pass can be read back.
    is_large: bool = False
    repeats: str = ""  # the stage whose question a second engine answers here, and under whose name results are kept
    witness: str = ""  # the name of that engine
    optional: bool = False  # the record can be without it, with the reason in `missing`
    # (work, *needs) -> why the clip has nothing for an optional stage
    without: Callable[..., Missing | None] | None = None

    @property
    def kept_as(self) -> str:
        """The name under which the ledger keeps its results: an engine's answer is the same, whether it is the main
        engine of its role or a second one."""
        return self.repeats or self.name

    @property
    def is_cached(self) -> bool:
        """Whether the ledger keeps its results."""
        return self.result is not None

    @cached_property
    def may_wait(self) -> bool:
        """Whether it may wait for something, so that other stages of the clip go on meanwhile."""
        return self.is_cached or iscoroutinefunction(self.compute)
