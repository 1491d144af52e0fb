"""Chooses the one person a record is about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from statistics import fmean, median

import numpy as np
from pydantic import model_validator

from merrflow.core.datafile import Strict, read
from merrflow.core.measurements import ActionUnitSeries, Curves, Probe, Shot, Subject
from merrflow.stages.stage import Skip, Stage, Work
from merrflow.stages.tracks import FollowRules, Track, follow, size
from merrflow.stages.voice import SpeakingRules, has_voice, with_voice


class DropRules(Strict):
    """Which tracks are spurious; see subject.yaml."""

    seconds: float
    share_of_clip: float
    height: float


class ChooseRules(Strict):
    """Weights of the marks; see subject.yaml."""

    size: float
    time: float
    frontality: float
    speaking: float

    @model_validator(mode="after")
    def _some(self) -> ChooseRules:
        weights = (self.size, self.time, self.frontality, self.speaking)
        if min(weights) < 0 or self.size + self.time <= 0:
            raise ValueError("weights must not be negative, and size or time must have one")
        return self


class SubjectRules(Strict):
    """How persons are followed and one is chosen."""

    version: str
    follow: FollowRules
    drop: DropRules
    choose: ChooseRules
    speaking: SpeakingRules


@cache
def load_subject_rules() -> SubjectRules:
    """The rules that come with the package."""
    return read(files("merrflow.stages") / "subject.yaml", SubjectRules)


def choose(
    series: ActionUnitSeries,
    shots: Sequence[Shot] = (),
    voice_energy: Sequence[float] = (),
    rules: SubjectRules | None = None,
) -> Subject | Skip:
    """The person with the largest, longest seen, most frontal face that speaks; Skip if there is none.

    `voice_energy`: Probe.voice_energy, which shows whose mouth moves with the voice. The mark for speaking is
    left out if nobody's does: silence, even music, a narrator, mouths that were not measured, or glimpses.
    """
    rules = rules or load_subject_rules()
    tracks = follow(series, shots, rules.follow)
    if not tracks:
        return Skip(_why_none(series, rules))
    kept = [track for track in tracks if _lasting(track, series, rules.drop)]
    if not kept:
        return Skip("faces come into view only for moments")
    large = [track for track in kept if _height(track) >= rules.drop.height * series.height]
    if not large:
        tallest = max(_height(track) for track in kept)
        return Skip(
            f"the largest face is {tallest:.0f} of {series.height} pixels high, too small to read "
            f"(least: {rules.drop.height * series.height:.0f})"
        )
    marks = _marks(large, series, voice_energy, rules)
    order = sorted(range(len(large)), key=lambda number: (-marks[number][0], large[number].faces[0]))
    best = order[0]
    score = marks[best][0]
    margin = 1.0 if len(large) == 1 else (score - marks[order[1]][0]) / score if score > 0 else 0.0
    second = marks[order[1]][0] if len(large) > 1 else None
    reason = _reason(large[best], marks[best], second, len(large), len(tracks) - len(large), series)
    return Subject(faces=tuple(large[best].faces), persons=len(large), margin=round(margin, 4), reason=reason)


def _why_none(series: ActionUnitSeries, rules: SubjectRules) -> str:
    unsure = np.count_nonzero(np.diff(series.frames.first))
    if not unsure:
        return f"no face is found in any of the {len(series.frames)} frames"
    return (
        f"a face is found in {unsure} of {len(series.frames)} frames, but never surely: "
        f"confidence {series.frames.confidence.max():.2f} at best, {rules.follow.minimum_confidence:.2f} needed"
    )


def _lasting(track: Track, series: ActionUnitSeries, rules: DropRules) -> bool:
    needed = min(rules.seconds * series.fps, rules.share_of_clip * len(series.frames))
    return len(track.faces) >= needed


def _height(track: Track) -> float:
    return median(face.box[3] for face in track.measured)


def _marks(
    tracks: Sequence[Track], series: ActionUnitSeries, voice: Sequence[float], rules: SubjectRules
) -> list[tuple[float, dict[str, float]]]:
    """Per track the weighted mean of its marks, and the marks (0 to 1) by name."""
    sizes = [median(size(face.box) for face in track.measured) for track in tracks]
    speaking = _speaking(tracks, series, voice, rules.speaking)
    with_faces = len(np.unique(series.frames.frame_of(np.flatnonzero(series.frames.confidence > 0))))
    result = []
    for number, track in enumerate(tracks):
        marks = {
            "size": sizes[number] / max(sizes),
            "time": len(track.faces) / max(with_faces, 1),
            "frontality": fmean([_frontality(face.yaw, face.pitch) for face in track.measured]),
        }
        if speaking:
            marks["speaking"] = speaking[number]
        weight = {name: getattr(rules.choose, name) for name in marks}
        total = sum(weight[name] * mark for name, mark in marks.items()) / sum(weight.values())
        result.append((total, marks))
    return result


def _speaking(
    tracks: Sequence[Track], series: ActionUnitSeries, voice: Sequence[float], rules: SpeakingRules
) -> list[float]:
    """Per track how well its mouth moves with the voice; empty if no track's does."""
    if not has_voice(voice, rules):
        return []
    times = dict(zip(series.frames.indices.tolist(), series.frames.timestamps.tolist(), strict=True))
    marks = [
        with_voice(
            [times[frame] for frame, _ in track.faces], [face.mouth_opening for face in track.measured], voice, rules
        )
        for track in tracks
    ]
    return marks if max(marks) > 0 else []


def _frontality(yaw: float, pitch: float) -> float:
    """1 for a face that looks into the camera, 0 for a profile; angles in degrees."""
    return max(0.0, math.cos(math.radians(yaw))) * max(0.0, math.cos(math.radians(pitch)))


def _reason(
    track: Track,
    chosen: tuple[float, dict[str, float]],
    second: float | None,
    persons: int,
    dropped: int,
    series: ActionUnitSeries,
) -> str:
    score, marks = chosen
    view = f"in view for {len(track.faces)} of {len(series.frames)} frames"
    mouth = ""
    if "speaking" in marks:
        follows = marks["speaking"]
        mouth = f", mouth moves with the voice {follows:.2f}" if follows > 0 else ", mouth does not follow the voice"
    if second is None:
        text = f"the only person followed, {view}{mouth}"
    else:
        largest = "largest face" if marks["size"] == 1 else f"face {marks['size']:.2f} times the largest"
        text = f"of {persons} persons: {largest}, {view}, frontality {marks['frontality']:.2f}{mouth}"
        text += f"; score {score:.2f}, next {second:.2f}"
    if track.by_look:
        text += f"; recognised by the face within this clip, in {len(track.shots)} shot{'s' * (len(track.shots) > 1)}"
    elif len(track.shots) > 1:
        text += f"; followed by place through {len(track.shots)} shots"
    if dropped:
        text += f"; {dropped} brief or tiny {'face' if dropped == 1 else 'faces'} left out"
    return text


def curves_of(series: ActionUnitSeries, person: Subject) -> Curves:
    """The subject's Action Units over time."""
    frames, faces = series.frames, person.faces
    rows = frames.rows(faces)
    indices = [frame for frame, _ in faces]
    measured = np.flatnonzero(frames.intensity.there[rows].any(axis=0))
    units = sorted(frames.intensity.names[place] for place in measured)
    return Curves(
        timestamps=tuple(frames.timestamps[frames.places(np.array(indices, np.int64))].tolist()),
        frames=tuple(indices),
        intensity={unit: tuple(frames.intensity.column(unit)[rows].tolist()) for unit in units},
    )


def _subject(work: Work, series: ActionUnitSeries, probe: Probe) -> Subject | Skip:
    return choose(series, probe.shots, probe.voice_energy)


STAGE: Stage[Subject] = Stage(
    name="subject",
    purpose="the person that the record is about, followed through the clip",
    compute=_subject,
    needs=("action_units", "probe"),
    data_version=lambda: load_subject_rules().version,
)
CURVES: Stage[Curves] = Stage(
    name="curves",
    purpose="the subject's Action Units over time",
    compute=lambda work, series, person: curves_of(series, person),
    needs=("action_units", "subject"),
)
MEASURABLE: Stage[tuple[str, ...]] = Stage(
    name="measurable",
    purpose="which Action Units the engine measures",
    compute=lambda work, series: series.measurable,
    needs=("action_units",),
)
