"""`curation.json`: which clips of a run are kept, which are dropped by which filter, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from merrflow.core.atomic_files import whole_text
from merrflow.core.errors import InputError, unwritable
from merrflow.datasets.curation.base import Drop, Step
from merrflow.datasets.curation.config import CurationConfig
from merrflow.datasets.curation.records import records_digest
from merrflow.store import existing_ledger

FILE = "curation.json"
VERSION = 1  # of the file's layout


@dataclass(frozen=True)
class Curation:
    """What `merrflow curate` decided."""

    kept: frozenset[str]
    dropped: Mapping[str, Drop]  # clip -> by which filter, and why
    stale: bool  # records were added, changed or taken out since


def write_curation(out: Path, config: CurationConfig, digest: str, kept: Sequence[str], steps: Sequence[Step]) -> None:
    """Writes DIR/curation.json whole or not at all. Raises `InputError` or `OutputsGone`."""
    values = {
        "version": VERSION,
        "config": config.model_dump(mode="json"),
        "records": digest,
        "kept": sorted(kept),
        "dropped": sorted((drop.values() for step in steps for drop in step.drops), key=lambda drop: drop["name"]),
        "counts": [counts(step) for step in steps],
    }
    try:
        with whole_text(out / FILE) as file:
            json.dump(values, file, ensure_ascii=False, indent=1)
            file.write("\n")
    except OSError as error:
        hint = "what was there is still whole. Make room, or make the folder writable, and run merrflow curate again"
        raise unwritable(out / FILE, error, hint) from error


def counts(step: Step) -> dict[str, Any]:
    """A filter's counts as JSON."""
    return {
        "filter": step.filter,
        "seen": step.seen,
        "dropped": step.dropped,
        "left": step.left,
        "not_judged": step.unjudged,
        "dropped_by_label": dict(step.labels),
    }


def read_curation(out: Path) -> Curation | None:
    """What `merrflow curate` decided of the run in `out`; None if it never ran there.

    Raises `InputError` if the file cannot be used.
    """
    path = out / FILE
    try:
        found = _File.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise InputError(f"{path}: cannot be used ({reason}): run merrflow curate again") from error
    if found.version != VERSION:
        raise InputError(f"{path}: written by another version of merrflow: run merrflow curate again")
    ledger = existing_ledger(out)
    try:
        stale = records_digest(ledger) != found.records
    finally:
        ledger.close()
    dropped = {drop.name: Drop(drop.name, drop.filter, drop.reason) for drop in found.dropped}
    return Curation(frozenset(found.kept), dropped, stale)


class _Dropped(BaseModel):
    model_config = ConfigDict(strict=True)
    name: str
    filter: str
    reason: str


class _File(BaseModel):
    model_config = ConfigDict(strict=True)
    version: int
    records: str
    kept: list[str]
    dropped: list[_Dropped]
