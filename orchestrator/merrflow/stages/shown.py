"""Which frame the picture shows: the peak frame, or one near it in which the subject's face says more.

Action Units, label and the peak's time are those of the peak frame in any case; this is about what is looked at. Frames
of a rule set with `peak.picture` qualify if the face is frontal, sharp and sure and its eyes are open. How far it looks
from neutral is an expression network's judgement (stages/expressions.py); without one, the peak frame is shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from merrflow.core.faces import Face
from merrflow.core.measurements import ActionUnitSeries, Peak, Probe, Shot, ShownFrame, Subject
from merrflow.facs.rules import PeakRules, PictureRules
from merrflow.facs.units import action_units
from merrflow.stages.expressions import expressiveness
from merrflow.stages.stage import Stage, Work

STEP_SECONDS = 0.2  # between frames that are looked at: they differ little within it, nor does their expressiveness


@dataclass(frozen=True)
class Candidate:
    """A frame that qualifies, but for its sharpness, which takes its pixels."""

    index: int
    steps: int  # from the peak frame
    timestamp: float  # seconds
    box: tuple[float, float, float, float]  # of the subject's face: x, y, width, height in pixels
    expressive: float  # how far from neutral the subject looks, 0 to 1


@dataclass(frozen=True)
class Choice:
    """The frames to choose from, ascending, with the peak frame if it qualifies; none if nothing is to be chosen."""

    candidates: tuple[Candidate, ...] = ()
    at_peak: float = 0.0  # how far from neutral the subject looks there, 0 to 1
    fault: str = ""  # why the peak frame does not qualify


def near(index: int, steps: int, fps: float) -> int:
    """The number of the frame so many steps after a frame, or before it; it may be outside the clip."""
    return index + round(steps * STEP_SECONDS * fps)


def shot_of(probe: Probe, index: int) -> Shot:
    """The shot that a frame is in."""
    return next((shot for shot in probe.shots if shot.start <= index < shot.end), Shot(0, probe.frame_count))


def find(series: ActionUnitSeries, subject: Subject, probe: Probe, peak: Peak, rules: PeakRules) -> Choice:
    """The frames of the peak's shot near it that may be shown instead; empty if there is none but the peak frame."""
    wanted = rules.picture
    shot = shot_of(probe, peak.index)
    places = {index: place for index, place in subject.faces if shot.start <= index < shot.end}
    curve = expressiveness(series, replace(subject, faces=tuple(places.items()))) if wanted else {}
    if wanted is None or not curve:
        return Choice()
    at_peak = curve.get(peak.index, 0.0)
    most = int(wanted.seconds / STEP_SECONDS + 1e-9)
    # at few frames a second several steps lead to one frame
    steps = {near(peak.index, step, probe.fps): step for step in sorted(range(-most, most + 1), key=abs, reverse=True)}
    candidates, fault = [], ""
    for index in sorted(steps.keys() & curve.keys()):
        frame = series.frames[index]
        face = frame.faces[places[index]]
        problem = _problem(face, rules, wanted)
        if index == peak.index:
            fault = problem
        if not problem and curve[index] >= at_peak - wanted.gain:
            candidates.append(Candidate(index, steps[index], frame.timestamp, face.box, round(curve[index], 4)))
    if all(one.index == peak.index for one in candidates):
        return Choice()
    return Choice(tuple(candidates), round(at_peak, 4), fault)


def choose(choice: Choice, sharpness: Mapping[int, float], peak: Peak, rules: PictureRules) -> ShownFrame | None:
    """The most expressive sharp frame, and of equal ones the nearest to the peak; None for the peak frame.

    sharpness: by frame number, of all candidates. A peak frame that qualifies is left only for one that is more
    expressive by `rules.gain`; for one that does not qualify, the other may be less expressive by as much.
    """
    sharpest = max(sharpness.values(), default=0.0)
    sharp = [one for one in choice.candidates if sharpness[one.index] >= rules.sharpness * sharpest]
    best = max(sharp, key=lambda one: (one.expressive, -abs(one.index - peak.index), -one.index), default=None)
    peak_qualifies = any(one.index == peak.index for one in sharp)
    if best is None or best.index == peak.index or (peak_qualifies and best.expressive < choice.at_peak + rules.gain):
        return None
    fault = "" if peak_qualifies else f"; {choice.fault or 'the face is blurred'} in the peak frame"
    after = best.timestamp - peak.timestamp
    reason = (
        f"{abs(after):.2f} s {'after' if after > 0 else 'before'} the peak the subject looks {best.expressive:.2f} "
        f"from neutral, {choice.at_peak:.2f} at it{fault}"
    )
    return ShownFrame(best.index, best.timestamp, best.box, reason)


def _problem(face: Face, rules: PeakRules, wanted: PictureRules) -> str:
    """Why a frame does not qualify; "" if it does."""
    if face.confidence < rules.minimum_confidence:
        return "the face is not sure enough"
    if abs(face.yaw) > wanted.maximum_yaw or abs(face.pitch) > wanted.maximum_pitch:
        return f"the face is turned away (yaw {face.yaw:.0f}, pitch {face.pitch:.0f} degrees)"
    if any(code in action_units() and action_units()[code].blink for code in face.present):
        return "the eyes are closed"
    return ""


def _candidates(work: Work, series: ActionUnitSeries, person: Subject, probe: Probe, peak: Peak) -> Choice:
    return find(series, person, probe, peak, work.run.rules.peak)


STAGE: Stage[Choice] = Stage(
    name="candidates",
    purpose="frames near the peak that the picture may show",
    compute=_candidates,
    needs=("action_units", "subject", "probe", "peak"),
)
