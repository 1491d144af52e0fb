"""Finds the peak frame: where the subject's most frequent Action Units sum to the most.

Source: MERR's construction notes (Emotion-LLaMA, NeurIPS 2024). How many units are summed, and whether those
of speech count, is in the rule set (facs/rulesets). A rule set with a `window` judges over several frames, so that
noise in a single one decides nothing; without one, single frames are judged, as published.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from merrflow.core.faces import Flags, Floats, Whole
from merrflow.core.measurements import ActionUnitSeries, Peak, Probe, Shot, Subject
from merrflow.facs.rules import PeakRules
from merrflow.facs.units import action_units
from merrflow.stages.stage import Skip, Stage, Work


@dataclass(frozen=True)
class _Seen:
    """The subject in the frames that are sure enough, ascending."""

    rows: Whole  # (n,) of `FaceFrames`
    indices: list[int]
    times: list[float]  # seconds
    units: tuple[str, ...]
    intensity: Floats  # (n, units) 0 where it was not measured
    measured: Flags  # (n, units)
    present: Flags  # (n, units)

    def intensities(self, code: str, window: range) -> list[float]:
        """A unit's, of those frames of the window that have one."""
        column, near = self.units.index(code), slice(window.start, window.stop)
        found: list[float] = self.intensity[near, column][self.measured[near, column]].tolist()
        return found


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
    if not seen.indices:
        return Skip(
            f"the subject's face is never sure enough: confidence {rules.minimum_confidence:.2f} or more in "
            f"none of {len(subject.faces)} frames"
        )
    notes: list[str] = []
    # A unit that has presence only (AU28 in OpenFace) has nothing to sum beside others that have an intensity.
    unmeasured = not seen.measured.any()
    counted = seen.present if unmeasured else seen.present & seen.measured
    counts = {code: count for code, count in zip(seen.units, counted.sum(axis=0).tolist(), strict=True) if count}
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
        measured = [seen.units[place] for place in np.flatnonzero(seen.measured.any(axis=0))]
        summed = tuple(sorted(code for code in measured if _counts(code, rules)) or sorted(measured))
    sums = _sums(seen, summed, unmeasured=unmeasured, only_present=rules.only_present and bool(frequent))
    windows = _windows(seen, rules.window, shots)
    smooth = [round(value, 6) for value in _weighted(sums, seen.times, windows, rules.window / 2)]
    if frequent and not any(sums):
        notes.append("no frame has evidence of these units")
    frames = series.frames
    candidates = _prefer(np.full(len(sums), True), np.array([value > 0 for value in sums]))
    without = len(sums) - int(candidates.sum())
    if rules.avoid_blink:
        blinks = [place for place, code in enumerate(seen.units) if _blinks(code)]
        candidates = _prefer(candidates, seen.present[:, blinks].sum(axis=1) == 0)
    if rules.cut_guard:
        near = _near_cuts(shots, series, rules.cut_guard)
        candidates = _prefer(candidates, np.array([index not in near for index in seen.indices]))
    turned = frames.pose[seen.rows, :2]
    candidates = _prefer(candidates, np.abs(turned).max(axis=1) <= rules.maximum_turn)
    candidates = _prefer(candidates, _speeds(seen, turned) <= rules.maximum_speed)
    best = max(np.flatnonzero(candidates).tolist(), key=lambda place: (smooth[place], -place))
    window = windows[best]
    present, intensity = _over(seen, window, best)
    if len(window) > 1:
        first, last = seen.indices[window.start], seen.indices[window.stop - 1]
        notes.append(f"judged over {len(window)} frames, {first} to {last}")
    face = frames.face(int(seen.rows[best]))
    second = len(sums) - int(candidates.sum()) - without
    return Peak(
        index=seen.indices[best],
        timestamp=seen.times[best],
        action_units=present,
        intensity=intensity,
        frequent=frequent,
        total=smooth[best],
        reason=_reason(seen, best, frequent, allowed, smooth[best], second, subject, notes),
        confidence=face.confidence,
        box=face.box,
    )


def _sums(seen: _Seen, codes: Sequence[str], *, unmeasured: bool, only_present: bool) -> list[float]:
    """Of each frame the sum of these units: of their intensities, or of how many are present if none has one."""
    there = seen.present.astype(float)
    values = there if unmeasured else seen.intensity * there if only_present else seen.intensity
    total = np.zeros(len(seen.indices))
    for code in codes:
        total += values[:, seen.units.index(code)]
    return [round(value, 6) for value in total.tolist()]  # so that sums that differ in the last bit only are a tie


def _windows(seen: _Seen, seconds: float, shots: Sequence[Shot]) -> list[range]:
    """By place in `seen`, the places of the frames of its shot within half of `seconds` on either side."""
    cuts, times = sorted(shot.start for shot in shots), seen.times
    shot_of = [bisect_right(cuts, index) for index in seen.indices]
    half = seconds / 2 + 1e-9  # frames at the very edge count, whatever the last bit of their times
    windows, first, last = [], 0, 0
    for place, (time, shot) in enumerate(zip(times, shot_of, strict=True)):
        while shot_of[first] != shot or time - times[first] > half:
            first += 1
        last = max(last, place)
        while last + 1 < len(times) and shot_of[last + 1] == shot and times[last + 1] - time <= half:
            last += 1
        windows.append(range(first, last + 1))
    return windows


def _weighted(sums: Sequence[float], times: Sequence[float], windows: Sequence[range], half: float) -> list[float]:
    """The mean of each window's sums, of which those in the middle count most and those at its ends nothing.

    With equal weights, a frame at the clip's end would win over the height of an expression near it, because its window
    is half as long.
    """
    values, at = np.array(sums), np.array(times)
    first, lengths = np.array([(window.start, len(window)) for window in windows]).T
    total, weights = np.zeros(len(sums)), np.zeros(len(sums))
    for step in range(int(lengths.max())):  # all windows side by side: they are short, and many
        near = np.minimum(first + step, len(sums) - 1)
        weight = 1 - np.minimum(np.abs(at[near] - at), half) / half if half else np.ones(len(sums))
        weight[step >= lengths] = 0.0
        total += weight * values[near]
        weights += weight
    means: list[float] = (total / weights).tolist()
    return means


def _over(seen: _Seen, window: range, best: int) -> tuple[tuple[str, ...], dict[str, float]]:
    """Units present in most frames of the window, or in half of them and in the best; the median intensity of each."""
    counts = seen.present[window.start : window.stop].sum(axis=0).tolist()
    present = sorted(
        code
        for code, count, at_best in zip(seen.units, counts, seen.present[best].tolist(), strict=True)
        if 2 * count > len(window) or (2 * count == len(window) and at_best)
    )
    values = {code: seen.intensities(code, window) for code in present}
    return tuple(present), {code: round(median(found), 6) for code, found in values.items() if found}


def _subject_frames(series: ActionUnitSeries, subject: Subject, rules: PeakRules) -> _Seen:
    frames = series.frames
    rows = frames.rows(subject.faces)
    rows = rows[frames.confidence[rows] >= rules.minimum_confidence]
    places = frames.frame_of(rows)
    measured = frames.intensity.there[rows]
    intensity = np.where(measured, frames.intensity.values[rows], 0.0)
    return _Seen(
        rows=rows,
        indices=frames.indices[places].tolist(),
        times=frames.timestamps[places].tolist(),
        units=frames.intensity.names,
        intensity=intensity,
        measured=measured,
        present=frames.present[rows] & (~measured | (intensity >= rules.minimum_intensity)),
    )


def _counts(code: str, rules: PeakRules) -> bool:
    unit = action_units().get(code)
    if unit is None:
        return True
    return (rules.speech_counts or not unit.speech) and (rules.blink_counts or not unit.blink)


def _blinks(code: str) -> bool:
    return code in action_units() and action_units()[code].blink


def _near_cuts(shots: Sequence[Shot], series: ActionUnitSeries, guard: int) -> frozenset[int]:
    """The `guard` frames before and after each cut; the clip's ends are none."""
    last = int(series.frames.indices.max())
    cuts = {shot.start for shot in shots if shot.start > 0} | {shot.end for shot in shots if shot.end <= last}
    return frozenset(index for cut in cuts for index in range(cut - guard, cut + guard))


def _speeds(seen: _Seen, turned: Floats) -> Floats:
    """How fast the head turns at each frame, in degrees a second, across up to two frames on either side.

    Over four frames a turn adds up, while the jitter of the pose estimate does not.

    turned: (n, 2) pitch and yaw in degrees.
    """
    indices, times = np.array(seen.indices), np.array(seen.times)
    here = np.arange(len(indices))
    before, after = here, here
    for step in (1, 2):
        earlier, later = np.maximum(here - step, 0), np.minimum(here + step, len(here) - 1)
        before = np.where(indices - indices[earlier] <= 2, earlier, before)
        after = np.where(indices[later] - indices <= 2, later, after)
    seconds = times[after] - times[before]
    angles = np.abs(turned[after] - turned[before]).max(axis=1)
    speeds: Floats = np.divide(angles, seconds, out=np.zeros(len(here)), where=seconds > 0)
    return speeds


def _prefer(frames: Flags, wanted: Flags) -> Flags:
    """Those that are wanted; all of them if none is."""
    both = frames & wanted
    return both if both.any() else frames


def _reason(
    seen: _Seen,
    best: int,
    frequent: Sequence[str],
    counts: Mapping[str, int],
    total: float,
    second: int,
    subject: Subject,
    notes: Sequence[str],
) -> str:
    """second: frames that qualify less than the others."""
    frames = len(seen.indices)
    if frequent:
        often = ", ".join(f"{code} in {counts[code]}" for code in frequent)
        text = f"most frequent in {frames} frames: {often}; sum {total:.2f} at frame {seen.indices[best]}"
    else:
        text = f"sum {total:.2f} at frame {seen.indices[best]}"
    if second:
        notes = [
            *notes,
            f"{second} {'frame' if second == 1 else 'frames'} came second "
            "(blinking, next to a cut, turned away or turning fast)",
        ]
    if frames < len(subject.faces):
        notes = [*notes, f"{len(subject.faces) - frames} frames of low confidence left out"]
    return "; ".join([text, *notes])


def _peak(work: Work, series: ActionUnitSeries, person: Subject, probe: Probe) -> Peak | Skip:
    return find(series, person, work.run.rules.peak, probe.shots)


STAGE: Stage[Peak] = Stage(
    name="peak",
    purpose="the peak frame",
    compute=_peak,
    needs=("action_units", "subject", "probe"),
)
