"""Finds the peak frame: where the subject's most frequent Action Units sum to the most.

Source: MERR's construction notes (Emotion-LLaMA, NeurIPS 2024). How many units are summed, and whether those
of speech count, is in the rule set (facs/rulesets). A rule set with a `window` judges over several frames, so that
noise in a single one decides nothing; without one, single frames are judged, as published.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import mul
from statistics import median

from merrflow.core.measurements import ActionUnitSeries, Face, Peak, Probe, Shot, Subject
from merrflow.facs.rules import PeakRules
from merrflow.facs.units import action_units
from merrflow.stages.stage import Skip, Stage, Work


@dataclass(frozen=True)
class _Seen:
    """The subject in one frame."""

    index: int
    timestamp: float
    face: Face
    present: frozenset[str]


def find(series: ActionUnitSeries, subject: Subject, rules: PeakRules, shots: Sequence[Shot] = ()) -> Peak | Skip:
    """The peak among the subject's frames; Skip if no frame is sure enough.

    A unit's frequency is the number of frames in which it is present. If no unit is present in any frame,
    the frame with the largest summed intensity of all measured units is taken, so that a neutral clip has a
    peak too. Of frames with the same sum the earliest is the peak.

    With `rules.window` the sum is the weighted mean of the frames within it, and units and intensities at the peak are
    the window's majority and medians. A frame whose own sum is 0 comes second, even if its window's is not.
    `shots` serves `rules.cut_guard`, and no window goes beyond its shot.
    """
    seen = _subject_frames(series, subject, rules)
    if not seen:
        return Skip(
            f"the subject's face is never sure enough: confidence {rules.minimum_confidence:.2f} or more in "
            f"none of {len(subject.faces)} frames"
        )
    notes: list[str] = []
    # A unit that has presence only (AU28 in OpenFace) has nothing to sum beside others that have an intensity.
    unmeasured = not any(frame.face.intensity for frame in seen)
    counts = Counter(code for frame in seen for code in frame.present if unmeasured or code in frame.face.intensity)
    if unmeasured and counts:
        notes.append("units are told by presence only here, so that each counts 1")
    allowed = {code: count for code, count in counts.items() if _counts(code, rules)}
    if not allowed and counts:
        notes.append("only units of speech or blinking are present")
        allowed = dict(counts)
    frequent = tuple(sorted(allowed, key=lambda code: (-allowed[code], code))[: rules.frequent])
    summed = frequent
    if not frequent:
        notes.append("no unit is present in any frame: the sum is of all measured intensities")
        measured = {code for frame in seen for code in frame.face.intensity}
        summed = tuple(sorted(code for code in measured if _counts(code, rules)) or sorted(measured))

    def total(frame: _Seen) -> float:
        gated = rules.only_present and frequent
        chosen = (code for code in summed if not gated or code in frame.present)
        if unmeasured:
            return float(sum(code in frame.present for code in chosen))
        # rounded, so that sums that differ in the last bit only are a tie
        return round(sum(frame.face.intensity.get(code, 0.0) for code in chosen), 6)

    windows = _windows(seen, rules.window, shots)
    sums = [total(frame) for frame in seen]
    times = [frame.timestamp for frame in seen]
    smooth = {
        frame.index: round(_weighted(sums, times, place, window, rules.window / 2), 6)
        for place, (frame, window) in enumerate(zip(seen, windows, strict=True))
    }
    own = {frame.index: value for frame, value in zip(seen, sums, strict=True)}
    if frequent and not any(sums):
        notes.append("no frame has evidence of these units")
    candidates = _prefer(seen, lambda frame: own[frame.index] > 0)
    without = len(seen) - len(candidates)
    if rules.avoid_blink:
        candidates = _prefer(candidates, lambda frame: not _blinks(frame))
    if rules.cut_guard:
        near = _near_cuts(shots, series, rules.cut_guard)
        candidates = _prefer(candidates, lambda frame: frame.index not in near)
    candidates = _prefer(candidates, lambda frame: _turn(frame.face) <= rules.maximum_turn)
    speeds = _speeds(seen)
    candidates = _prefer(candidates, lambda frame: speeds[frame.index] <= rules.maximum_speed)
    best = max(candidates, key=lambda frame: (smooth[frame.index], -frame.index))
    window = windows[seen.index(best)]
    around = [seen[place] for place in window]
    present, intensity = _over(around, best)
    if len(around) > 1:
        notes.append(f"judged over {len(around)} frames, {around[0].index} to {around[-1].index}")
    return Peak(
        index=best.index,
        timestamp=best.timestamp,
        action_units=present,
        intensity=intensity,
        frequent=frequent,
        total=smooth[best.index],
        reason=_reason(best, frequent, allowed, smooth[best.index], seen, candidates, without, subject, notes),
        confidence=best.face.confidence,
        box=best.face.box,
    )


def _windows(seen: Sequence[_Seen], seconds: float, shots: Sequence[Shot]) -> list[range]:
    """By place in `seen`, the places of the frames of its shot within half of `seconds` on either side."""
    cuts = sorted(shot.start for shot in shots)
    shot_of = [bisect_right(cuts, frame.index) for frame in seen]
    half = seconds / 2 + 1e-9  # frames at the very edge count, whatever the last bit of their times
    windows, first, last = [], 0, 0
    for place, frame in enumerate(seen):
        while shot_of[first] != shot_of[place] or frame.timestamp - seen[first].timestamp > half:
            first += 1
        last = max(last, place)
        while (
            last + 1 < len(seen)
            and shot_of[last + 1] == shot_of[place]
            and seen[last + 1].timestamp - frame.timestamp <= half
        ):
            last += 1
        windows.append(range(first, last + 1))
    return windows


def _weighted(sums: Sequence[float], times: Sequence[float], middle: int, window: range, half: float) -> float:
    """The mean of the window's sums, of which those in the middle count most and those at its ends nothing.

    With equal weights, a frame at the clip's end would win over the height of an expression near it, because its window
    is half as long.
    """
    near = slice(window.start, window.stop)
    if not half:
        return sum(sums[near]) / len(window)
    at = times[middle]
    weights = [weight if (weight := 1 - abs(time - at) / half) > 0 else 0.0 for time in times[near]]
    weighted: Iterator[float] = map(mul, weights, sums[near])
    return sum(weighted) / sum(weights)


def _over(near: Sequence[_Seen], best: _Seen) -> tuple[tuple[str, ...], dict[str, float]]:
    """Units present in most of the frames, or in half of them and in `best`; the median intensity of each."""
    counts = Counter(code for frame in near for code in frame.present)
    present = sorted(
        code
        for code, count in counts.items()
        if 2 * count > len(near) or (2 * count == len(near) and code in best.present)
    )
    values = {code: [f.face.intensity[code] for f in near if code in f.face.intensity] for code in present}
    return tuple(present), {code: round(median(found), 6) for code, found in values.items() if found}


def _subject_frames(series: ActionUnitSeries, subject: Subject, rules: PeakRules) -> list[_Seen]:
    frames = {frame.index: frame for frame in series.frames}
    seen = []
    for index, place in subject.faces:
        frame = frames[index]
        face = frame.faces[place]
        if face.confidence < rules.minimum_confidence:
            continue
        least = rules.minimum_intensity
        present = frozenset(code for code in face.present if face.intensity.get(code, least) >= least)
        seen.append(_Seen(index, frame.timestamp, face, present))
    return seen


def _counts(code: str, rules: PeakRules) -> bool:
    unit = action_units().get(code)
    if unit is None:
        return True
    return (rules.speech_counts or not unit.speech) and (rules.blink_counts or not unit.blink)


def _blinks(frame: _Seen) -> bool:
    return any(code in action_units() and action_units()[code].blink for code in frame.present)


def _near_cuts(shots: Sequence[Shot], series: ActionUnitSeries, guard: int) -> frozenset[int]:
    """The `guard` frames before and after each cut; the clip's ends are none."""
    last = max(frame.index for frame in series.frames)
    cuts = {shot.start for shot in shots if shot.start > 0} | {shot.end for shot in shots if shot.end <= last}
    return frozenset(index for cut in cuts for index in range(cut - guard, cut + guard))


def _turn(face: Face) -> float:
    """Degrees the face is turned away from the camera, sideways or up and down."""
    return max(abs(face.yaw), abs(face.pitch))


def _speeds(seen: Sequence[_Seen]) -> dict[int, float]:
    """By frame number, how fast the head turns, in degrees a second, across up to two frames on either side.

    Over four frames a turn adds up, while the jitter of the pose estimate does not.
    """
    speeds = {}
    for place, frame in enumerate(seen):
        near = [other for other in seen[max(0, place - 2) : place + 3] if abs(other.index - frame.index) <= 2]
        first, last = near[0], near[-1]
        seconds = last.timestamp - first.timestamp
        turned = max(abs(last.face.yaw - first.face.yaw), abs(last.face.pitch - first.face.pitch))
        speeds[frame.index] = turned / seconds if seconds > 0 else 0.0
    return speeds


def _prefer(frames: list[_Seen], wanted: Callable[[_Seen], bool]) -> list[_Seen]:
    return [frame for frame in frames if wanted(frame)] or frames


def _reason(
    best: _Seen,
    frequent: Sequence[str],
    counts: Mapping[str, int],
    total: float,
    seen: Sequence[_Seen],
    candidates: Sequence[_Seen],
    without: int,
    subject: Subject,
    notes: Sequence[str],
) -> str:
    if frequent:
        often = ", ".join(f"{code} in {counts[code]}" for code in frequent)
        text = f"most frequent in {len(seen)} frames: {often}; sum {total:.2f} at frame {best.index}"
    else:
        text = f"sum {total:.2f} at frame {best.index}"
    second = len(seen) - len(candidates) - without
    if second:
        notes = [
            *notes,
            f"{second} {'frame' if second == 1 else 'frames'} came second "
            "(blinking, next to a cut, turned away or turning fast)",
        ]
    if len(seen) < len(subject.faces):
        notes = [*notes, f"{len(subject.faces) - len(seen)} frames of low confidence left out"]
    return "; ".join([text, *notes])


def _peak(work: Work, series: ActionUnitSeries, person: Subject, probe: Probe) -> Peak | Skip:
    return find(series, person, work.run.rules.peak, probe.shots)


STAGE: Stage[Peak] = Stage(
    name="peak",
    purpose="the peak frame",
    compute=_peak,
    needs=("action_units", "subject", "probe"),
)
