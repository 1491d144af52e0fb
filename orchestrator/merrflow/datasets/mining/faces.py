"""The faces of a clip as mining sees them: all of them, and those of the clip's subject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from merrflow.core.measurements import ActionUnitSeries, Probe
from merrflow.facs.rules import PeakRules
from merrflow.stages import subject
from merrflow.stages.stage import Skip

_PROBE = TypeAdapter(Probe)
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Seen:
    """One face in one frame."""

    frame: int
    seconds: float
    place: int  # among the frame's faces
    box: Box | None  # x, y, width, height in pixels
    present: frozenset[str]
    intensity: Mapping[str, float]
    confidence: float | None


def all_faces(series: ActionUnitSeries, rules: PeakRules) -> Iterator[Seen]:
    """Every face that is sure enough and not turned away.

    The subject's frames are among them, so that no frame of the subject is nearer to a label than the nearest of these.
    """
    least = rules.minimum_intensity
    for frame in series.frames:
        for place, face in enumerate(frame.faces):
            if face.confidence < rules.minimum_confidence or max(abs(face.yaw), abs(face.pitch)) > rules.maximum_turn:
                continue
            present = frozenset(code for code in face.present if face.intensity.get(code, least) >= least)
            yield Seen(frame.index, frame.timestamp, place, face.box, present, face.intensity, face.confidence)


def subject_of(
    record: Mapping[str, Any] | None, series: ActionUnitSeries, probe: Mapping[str, Any] | None
) -> set[tuple[int, int]] | Skip:
    """(frame, place) of the subject's faces: those of the record, or chosen now if there is none.

    Returns the Skip if nobody in the clip is followed.
    """
    if record is not None and record["subject"]["faces"]:
        return {(frame, place) for frame, place in record["subject"]["faces"]}
    facts = _PROBE.validate_python(probe) if probe else None
    chosen = subject.choose(series, facts.shots if facts else (), facts.voice_energy if facts else ())
    return chosen if isinstance(chosen, Skip) else set(chosen.faces)


def peak_face(record: Mapping[str, Any]) -> Seen:
    """The record's peak, for records that were made from precomputed peaks and have no series."""
    peak = record["peak"]
    present = frozenset(peak["action_units"])
    return Seen(peak["index"], peak["timestamp"], 0, _box(peak), present, peak["intensity"], peak.get("confidence"))


def _box(values: Mapping[str, Any]) -> Box | None:
    """The box of a face in plain JSON, in which it is a list."""
    box = values.get("box")
    return (box[0], box[1], box[2], box[3]) if box else None
