"""A finished run in the form of MERR's annotations, so that both sides are measured alike."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from merrflow.core.errors import InputError
from merrflow.core.records import Outcome
from merrflow.core.texts import Origin
from merrflow.datasets.entries import RECORDS, Entry, entries
from merrflow.formats.merr import MerrAnnotation
from merrflow.store import Ledger
from merrflow_serving.errors import first_fault

_NO_CURVES: Mapping[str, object] = {"timestamps": (), "frames": (), "intensity": {}}  # not in records.jsonl


@dataclass(frozen=True)
class RunClip:
    """One clip with a record."""

    annotation: MerrAnnotation
    ruled: str  # what the rules alone say, also if the label was given
    source: str  # of the label: "rules", "table", "model"
    rules: str  # name and version of the rule set
    origin: Origin | None  # who measured the Action Units
    measurable: frozenset[str]  # Action Units that can be measured so; empty if that is not known
    sha256: str = ""  # of its file


@dataclass(frozen=True)
class FinishedRun:
    """What a run says of its clips."""

    clips: Mapping[str, RunClip]  # with a record, by name
    without_record: Mapping[str, str]  # clip -> its outcome: "skipped", "failed", "unfinished"

    @property
    def measured(self) -> dict[str, frozenset[str]]:
        """Clip -> Action Units that could be measured, for clips where that is known."""
        return {name: clip.measurable for name, clip in self.clips.items() if clip.measurable}


def read_ledger(ledger: Ledger) -> FinishedRun:
    """A run from its ledger."""
    clips = _clips(entries(ledger))
    rest = {row.clip.name: str(row.outcome or "unfinished") for row in ledger.clips()}
    return FinishedRun(clips, {name: outcome for name, outcome in rest.items() if name not in clips})


def read_lines(path: Path) -> FinishedRun:
    """A run from its records.jsonl alone, which has no clips without a record. Raises InputError."""
    return FinishedRun(_clips(_lines(path)), {})


def _clips(found: Iterable[Entry]) -> dict[str, RunClip]:
    return {entry.record.name: _clip(entry) for entry in found}


def _clip(entry: Entry) -> RunClip:
    record = entry.record
    annotation = MerrAnnotation(
        name=record.name,
        label=record.label.label,
        frame_count=record.probe.frame_count,
        sentence=record.subtitle.text,
        peak_index=record.peak.index,
        peak_units=record.peak.action_units,
        units=record.label.action_units,
        phrases=record.label.expressions,
        tone=record.tone.text if record.tone else None,
        coarse=record.coarse,
        fine=entry.fine_text,
    )
    label = record.label
    origin = record.origins.get("action_units")
    ruled = label.ruled or label.label
    return RunClip(annotation, ruled, label.source, label.rules, origin, frozenset(record.measurable), record.sha256)


def _lines(path: Path) -> Iterator[Entry]:
    """Entries of a records.jsonl."""
    names, number = set(), 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                values = json.loads(line)
                entry = Entry(
                    RECORDS.validate_python({"curves": _NO_CURVES} | values),
                    Outcome(values["outcome"]),
                    values["reason"],
                )
                label = entry.record.label
                if len(label.action_units) != len(label.expressions):
                    raise ValueError(f"{len(label.expressions)} expressions for {len(label.action_units)} action_units")
                if entry.record.name in names:
                    raise InputError(f"{path}, line {number}: clip {entry.record.name!r} occurs twice")
                names.add(entry.record.name)
                yield entry
    except InputError:
        raise
    except ValidationError as error:
        raise InputError(f"{path}, line {number}: not a record of merrflow: {first_fault(error)}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"{path}, line {number}: not a record of merrflow ({error})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def counts(values: Iterable[str]) -> dict[str, int]:
    """How often each occurs, most frequent first."""
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))
