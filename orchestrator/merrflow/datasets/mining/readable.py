"""What mining reads of each clip, in plain JSON: quickly, and only if it is of the form that mining knows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json
from typing_extensions import TypedDict

from merrflow.core.measurements import ActionUnitSeries
from merrflow.datasets.kept_faces import STAGE as FACES
from merrflow.datasets.kept_faces import kept_in
from merrflow.store import ClipResults, Ledger

log = logging.getLogger(__name__)


class _Label(TypedDict):
    label: str


class _Peak(TypedDict):
    index: int
    timestamp: float
    action_units: list[str]
    intensity: dict[str, float]


class _Subject(TypedDict):
    faces: list[tuple[int, int]]


class _Record(TypedDict):
    label: _Label
    peak: _Peak
    subject: _Subject


_RECORD = TypeAdapter(_Record)
Json = Mapping[str, Any]


def readable(ledger: Ledger) -> Iterator[tuple[ClipResults, Json | None, ActionUnitSeries | None, str]]:
    """Every clip with an outcome, by name: its results, record, Action Units and the engine that measured them.

    Clips whose results cannot be parsed, such as those of another version of merrflow, are left out with one warning.
    """
    lost = 0
    for stored in ledger.results((FACES, "probe")):
        try:
            record = from_json(stored.record) if stored.record else None
            if record is not None:
                _RECORD.validate_python(record)
            series, engine = _series(stored, record)
        except (AttributeError, LookupError, TypeError, ValueError):
            lost += 1
            continue
        yield stored, record, series, engine
    if lost:
        log.warning("%s: %d clips have results that cannot be parsed, and are left out", ledger.location, lost)


def _series(stored: ClipResults, record: Json | None) -> tuple[ActionUnitSeries | None, str]:
    units = stored.stages.get(FACES)
    if units is None:
        origin = ((record or {}).get("origins") or {}).get("action_units") or {}
        return None, origin.get("engine", "")
    kept = kept_in(units)
    return kept.value, kept.engine
