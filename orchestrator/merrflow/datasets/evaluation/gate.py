"""Whether a run is worse than an earlier one on the same clips, by more than the noise of having just these clips.

A paired bootstrap (Efron & Tibshirani 1993, chapter 16; for scores of two systems on one test set Koehn 2004): clips
are drawn with replacement, both runs are scored on each draw, and the interval of the difference is that of its
percentiles. Pairing takes out what is hard about a clip for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from merrflow.datasets.evaluation.baseline import SETTINGS, Answer
from merrflow.datasets.evaluation.labels import in_order
from merrflow.datasets.evaluation.lists import overlap
from merrflow.datasets.evaluation.units import told_units
from merrflow.facs import load_rules
from merrflow.formats.merr import MerrAnnotation

Floats = NDArray[np.float64]
_BELOW_ZERO = -1e-9  # what is nearer to 0 is rounding
_CELLS = 4_000_000  # of a block of draws in memory


@dataclass(frozen=True)
class Change:
    """One score, before and now; None if it is not defined on these clips."""

    score: str
    before: float | None
    now: float | None
    low: float | None  # 95 % interval of now less before
    high: float | None
    dropped: bool  # whether all of the interval is below zero


@dataclass(frozen=True)
class Gate:
    """A run held against its baseline."""

    clips: int
    changes: tuple[Change, ...]

    @property
    def dropped(self) -> tuple[Change, ...]:
        """The scores that dropped by more than their noise."""
        return tuple(change for change in self.changes if change.dropped)


def hold(file: Mapping[str, MerrAnnotation], before: Mapping[str, Answer], now: Mapping[str, Answer]) -> Gate:
    """Both runs on the clips of `before`, which are those of `now`. file: with labels in the project's own words."""
    names = sorted(before)
    told = told_units(file.values())
    labels = in_order({file[name].label or "" for name in names} | {a.label for s in (before, now) for a in s.values()})
    sides = [_Side([(file[name], answers[name]) for name in names], labels, told) for answers in (before, now)]
    found: list[dict[str, list[Floats]]] = [{}, {}]
    for weights in _draws(len(names)):
        for side, scores in zip(sides, found, strict=True):
            for score, values in side.scores(weights).items():
                scores.setdefault(score, []).append(values)
    return Gate(
        len(names),
        tuple(_change(score, np.concatenate(found[0][score]), np.concatenate(found[1][score])) for score in found[0]),
    )


def _draws(clips: int) -> Iterator[Floats]:
    """How often each clip is in a draw, one row per draw; the first row is the clips themselves."""
    yield np.ones((1, clips))
    generator, left = np.random.default_rng(SETTINGS["seed"]), SETTINGS["samples"]
    while left:
        rows = min(left, max(1, _CELLS // clips))
        yield generator.multinomial(clips, np.full(clips, 1 / clips), size=rows).astype(np.float64)
        left -= rows


def _change(score: str, before: Floats, now: Floats) -> Change:
    if np.isnan(before[0]) or np.isnan(now[0]):
        return Change(score, _known(before[0]), _known(now[0]), None, None, False)
    differences = (now - before)[1:]
    differences = differences[~np.isnan(differences)]  # a draw may miss what a score needs, such as a label
    low, high = np.percentile(differences, (2.5, 97.5)) if differences.size else (np.nan, np.nan)
    return Change(score, float(before[0]), float(now[0]), _known(low), _known(high), bool(high < _BELOW_ZERO))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


class _Side:
    """One run's clips as columns; a score of any draw is made of their sums."""

    def __init__(
        self, clips: Sequence[tuple[MerrAnnotation, Answer]], labels: Sequence[str], told: frozenset[str]
    ) -> None:
        neutral = load_rules().neutral.label
        there = _one_hot([file.label or "" for file, _ in clips], labels)
        said = _one_hot([answer.label for _, answer in clips], labels)
        known = np.array([bool(file.label) for file, _ in clips], dtype=float)
        self._there, self._said, self._right = (each * known[:, None] for each in (there, said, there * said))
        self._spoken = np.array([label != neutral for label in labels], dtype=float)
        self._near = _columns([_near(file, answer) for file, answer in clips])
        self._units = _columns([_units(file, answer, told) for file, answer in clips])
        self._lists = _columns([_list(file, answer) for file, answer in clips])

    def scores(self, weights: Floats) -> dict[str, Floats]:
        """Each score of each draw; NaN where it is not defined."""
        there, said, right = (weights @ each for each in (self._there, self._said, self._right))
        clips = there.sum(axis=1)
        accuracy = _divided(right.sum(axis=1), clips)
        chance = _divided((there * said).sum(axis=1), clips * clips)
        near, units, lists = (weights @ each for each in (self._near, self._units, self._lists))
        return {
            "labels": accuracy,
            "labels, not neutral": _divided(right @ self._spoken, there @ self._spoken),
            "labels, balanced": _mean(_divided(right, there)),
            "labels, kappa": _divided(accuracy - chance, 1 - chance),
            "labels, macro F1": _mean(np.where(there > 0, _divided(2 * right, there + said), np.nan)),
            f"peak within {SETTINGS['near_frames']} frames": _divided(near[:, 0], near[:, 1]),
            "Action Units, micro F1": _divided(units[:, 0], units[:, 1]),
            "AU_list, overlap": _divided(lists[:, 0], lists[:, 1]),
        }


def _one_hot(values: Sequence[str], labels: Sequence[str]) -> Floats:
    return np.array([[value == label for label in labels] for value in values], dtype=float)


def _columns(pairs: Sequence[tuple[float, float]]) -> Floats:
    return np.array(pairs, dtype=float).reshape(-1, 2)


def _near(file: MerrAnnotation, answer: Answer) -> tuple[float, float]:
    if file.peak_index is None or answer.peak is None:
        return 0.0, 0.0
    return float(abs(answer.peak - file.peak_index) <= SETTINGS["near_frames"]), 1.0


def _units(file: MerrAnnotation, answer: Answer, told: frozenset[str]) -> tuple[float, float]:
    """Numerator and denominator of F1, over the units that both sides can have."""
    if file.peak_units is None:
        return 0.0, 0.0
    able = told & set(answer.measurable) if answer.measurable else told
    there, claimed = able & set(file.peak_units), able & set(answer.peak_units)
    return 2.0 * len(there & claimed), float(len(there) + len(claimed))


def _list(file: MerrAnnotation, answer: Answer) -> tuple[float, float]:
    return (0.0, 0.0) if file.units is None else (overlap(file, answer.annotation(file.name)), 1.0)


def _divided(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.full_like(bottom, np.nan), where=np.abs(bottom) > 1e-12)


def _mean(values: Floats) -> Floats:
    """Over the labels that a draw has."""
    there = ~np.isnan(values)
    return _divided(np.where(there, values, 0.0).sum(axis=1), there.sum(axis=1).astype(float))
