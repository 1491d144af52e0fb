"""Curation of a finished run: reads its records, runs the filters, writes curation.json. No model is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merrflow.datasets.curation.base import Filter, Step, apply, in_sequence
from merrflow.datasets.curation.config import CurationConfig
from merrflow.datasets.curation.records import read_records
from merrflow.datasets.curation.registry import Known, known_filters
from merrflow.datasets.curation.result import write_curation
from merrflow.datasets.pictures import FOLDER, Pictures
from merrflow.store import existing_ledger


@dataclass(frozen=True)
class Curated:
    """What the filters did, or would do."""

    steps: tuple[Step, ...]  # in sequence
    alone: tuple[Step, ...]  # each over all clips; only for a dry run
    labels: Mapping[str, int]  # label -> clips before
    kept: tuple[str, ...]  # by name
    kept_labels: Mapping[str, int]  # label -> clips after
    unknown_labels: tuple[str, ...]  # labels of records that the configuration gives no valence


def curate(out: Path, config: CurationConfig, *, dry_run: bool = False) -> Curated:
    """Runs the filters over the run in `out`. A dry run writes nothing, and shows each filter alone as well.

    Raises `InputError` if there is no run.
    """
    filters = config.filters()
    known = known_filters()
    ledger = existing_ledger(out)
    try:
        read = read_records(ledger, Pictures(out / FOLDER) if _need_sharpness(known, filters) else None)
    finally:
        ledger.close()
    steps = _worked(known, filters, in_sequence(filters, read.clips))
    gone = {drop.name for step in steps for drop in step.drops}
    kept = [clip for clip in read.clips if clip.name not in gone]
    labels = Counter(clip.label for clip in read.clips)
    if not dry_run:
        write_curation(out, config, read.digest, [clip.name for clip in kept], steps)
    return Curated(
        steps,
        _worked(known, filters, (apply(one, read.clips) for one in filters)) if dry_run else (),
        dict(sorted(labels.items())),
        tuple(clip.name for clip in kept),
        dict(sorted(Counter(clip.label for clip in kept).items())),
        tuple(sorted(set(labels) - set(config.valence))),
    )


def _need_sharpness(known: Mapping[str, Known], filters: Sequence[Filter[Any]]) -> bool:
    for one in filters:
        with known[one.name].plugin.blamed():
            if one.needs_sharpness:
                return True
    return False


def _worked(known: Mapping[str, Known], filters: Sequence[Filter[Any]], steps: Iterator[Step]) -> tuple[Step, ...]:
    """The steps, one a filter. What a filter of another distribution raises names that filter."""
    found = []
    for one in filters:
        with known[one.name].plugin.blamed():
            found.append(next(steps))
    return tuple(found)
