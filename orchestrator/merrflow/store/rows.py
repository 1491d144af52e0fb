"""What the ledger knows of clips and their stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from merrflow.core.measurements import Clip
from merrflow.core.records import Outcome


@dataclass(frozen=True)
class StageRow:
    """One finished stage of one clip."""

    outcome: Outcome
    reason: str
    payload: bytes  # JSON; empty if the stage has no result
    seconds: float
    attempts: int = 1
    retry: bool = False


@dataclass(frozen=True)
class StageWrite:
    """A finished stage of a clip, to be written."""

    clip: str
    stage: str  # RECORD for the clip's outcome, with its record
    fingerprint: str
    row: StageRow
    is_first: bool = False  # the ledger holds no other result of the stage, so that its time need not be compared


@dataclass(frozen=True)
class ClipStatus:
    """How one clip came out, and nothing more: cheap for any number of clips."""

    name: str
    outcome: Outcome | None  # None while it is not finished
    reason: str
    retry: bool


@dataclass(frozen=True)
class ClipRow:
    """One clip of the dataset and how it came out; `outcome` is None while it is not finished."""

    clip: Clip
    outcome: Outcome | None
    reason: str
    retry: bool
    fingerprint: str | None


@dataclass(frozen=True)
class ClipResults:
    """One clip that came to an outcome, with its record and its stages' results as JSON."""

    name: str
    path: Path
    outcome: Outcome
    reason: str
    sentence: str | None
    record: bytes | None  # None if the clip has none
    stages: Mapping[str, bytes]  # stage -> its newest result
