"""The contract between a service and the model behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from merrflow_serving.errors import MerrflowError

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Limits:
    """What an engine takes; 0 means no limit. Fields as `merrflow.common.v1.Limits`."""

    max_batch_size: int = 1
    max_pixels: int = 0
    max_frames: int = 0
    max_seconds: float = 0.0
    max_tokens: int = 0


@dataclass(frozen=True)
class EngineInfo:
    """Who computes. Part of every clue's provenance and fingerprint: a change here means new work.

    Fields as `merrflow.common.v1.EngineInfo`.
    """

    engine: str
    model: str
    revision: str
    device: str = "cpu"
    dtype: str = "float32"
    prompt_version: str = ""
    scoring_prompt_version: str = ""
    licence: str = ""
    note: str = ""
    limits: Limits = field(default_factory=Limits)


class Engine(Protocol, Generic[Item, Result]):
    """A model. One thread of the service calls it, so it needs no locks of its own, unless it has `lanes`.

    `info()` must answer before `load()`: a client asks it to find out whether there is work at all.
    """

    def load(self) -> None:
        """Loads the model. Raises `NotReady` with what to do where files are missing or wrong."""

    def run(self, batch: Sequence[Item]) -> list[Result | MerrflowError]:
        """One result or one error for each item, in order. An item's error hurts no neighbour."""
        ...

    # An engine on an accelerator also has `memory() -> merrflow_serving.torch.device.Memory`, for `Info`; called
    # from any thread once the engine is loaded. And `need() -> merrflow_serving.torch.need.Need | None`, None on CPUs,
    # for whoever plans before anything is loaded. One that can give up in the middle of `run` has `interrupt()`,
    # called from another thread. One that works on several batches at once has `lanes: int`, known before `load`: as
    # many threads then call `run`, and `close` may come while they do, and ends them.

    def close(self) -> None:
        """Frees what `load` took. Called once, after the last `run`."""

    def info(self) -> EngineInfo:
        """Engine, model, revision, limits; cheap and without loading."""
        ...
