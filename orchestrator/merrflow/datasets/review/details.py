"""One record as the page gets it: plain values, in seconds, pixels and intensities from 0 to 5."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from merrflow.core.records import Record
from merrflow.datasets.kept_faces import STAGE as FACES
from merrflow.datasets.kept_faces import kept_in
from merrflow.datasets.report.chart import facs_name, most_active
from merrflow.datasets.standings import votes_in_words
from merrflow.store import StageRow

# What shows the label, or leads to it.
_TELLING = (
    "label",
    "source",
    "reason",
    "outcome",
    "why",
    "standing",
    "votes",
    "views",
    "fine",
    "coarse",
    "expressions",
)
_CLUES = ("scene", "tone", "peak_reason")


def details(record: Record, row: StageRow, action_units: bytes | None) -> dict[str, Any]:
    """action_units: the stage's result as JSON, for the face in every frame; None if the ledger does not have it."""
    probe, peak = record.probe, record.peak
    fps = probe.fps if math.isfinite(probe.fps) and probe.fps > 0 else 25.0
    standing = record.label.standing
    return {
        "name": record.name,
        "sha256": record.sha256,
        "width": probe.width,
        "height": probe.height,
        "fps": fps,
        "frames": probe.frame_count,
        "seconds": probe.seconds,
        "cuts": [shot.start / fps for shot in probe.shots[1:]],
        "peak": {"index": peak.index, "time": peak.timestamp},
        "peak_reason": peak.reason,
        "faces": _faces(record, action_units),
        "curves": _curves(record),
        "speech": [list(span) for span in record.tone.speech] if record.tone else [],
        "sound": probe.audio_seconds is not None,
        "subtitle": record.subtitle.text or "",
        "subtitle_source": record.subtitle.source,
        "translation": record.translation.text if record.translation else "",
        "label": record.label.label,
        "source": record.label.source,
        "reason": record.label.reason,
        "expressions": list(record.label.expressions),
        "standing": str(standing.verdict) if standing else "",
        "votes": votes_in_words(record.label),
        "views": {
            view: sorted(shares.items(), key=lambda one: (-one[1], one[0]))[:3]
            for view, shares in record.distribution.items()
        },
        "scene": record.scene.text if record.scene else "",
        "tone": record.tone.text if record.tone else "",
        "coarse": record.coarse,
        "fine": record.reasoning.text if record.reasoning else "",
        "outcome": str(row.outcome),
        "why": row.reason,
    }


def is_of(record: Record, action_units: bytes) -> bool:
    """Whether a stage's result as JSON is of the engine that the record names: a second engine's is kept beside it."""
    if FACES not in record.witnesses:
        return True
    origin = record.origins.get(FACES)
    try:
        told = json.loads(action_units)["origin"]
        return origin is not None and (told["engine"], told["model"]) == (origin.engine, origin.model)
    except (KeyError, TypeError, ValueError):
        return False


def hidden(found: dict[str, Any]) -> dict[str, Any]:
    """The same without what shows the label or leads to it."""
    return {name: value for name, value in found.items() if name not in (*_TELLING, *_CLUES)}


def _faces(record: Record, action_units: bytes | None) -> list[list[float]]:
    """Seconds, x, y, width and height of the subject's face, frame by frame; at least at the peak."""
    found: list[list[float]] = []
    if action_units is not None:
        try:
            frames = kept_in(action_units).value.frames
            rows = frames.rows(record.subject.faces)
            found = np.column_stack([frames.timestamps[frames.frame_of(rows)], frames.box[rows]]).tolist()
        except (LookupError, ValueError):  # of another version: the peak's is in the record
            found = []
    if not found and record.peak.box:
        found = [[record.peak.timestamp, *record.peak.box]]
    return [[round(value, 3) for value in one] for one in found]


def _curves(record: Record) -> dict[str, Any]:
    curves = record.curves
    series = {code: values for code, values in curves.intensity.items() if len(values) == len(curves.timestamps)}
    chosen = most_active(series, record)
    return {
        "times": [round(time, 3) for time in curves.timestamps],
        "frames": list(curves.frames),
        "units": [
            {"code": code, "name": facs_name(code), "values": [round(value, 2) for value in series[code]]}
            for code in chosen
        ],
    }
