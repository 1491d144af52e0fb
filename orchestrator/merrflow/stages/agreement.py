"""How far a second engine's answer agrees with the main engine's: measures that need no model.

Neither is the truth, so every measure but the word error rate is symmetrical. For texts see `text_agreement.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import log2
from typing import Any

import numpy as np

from merrflow.core.faces import Face
from merrflow.core.labels import LabelScores
from merrflow.core.measurements import ActionUnitSeries, Peak, Subject
from merrflow.core.spoken import Transcript
from merrflow.stages.tracks import overlap
from merrflow.stages.word_errors import WITHOUT_BLANKS, error_rate, plain_words

VERSION = "2"  # of all measures; records are put together anew if it rises
_DIGITS = 4
_SAME_FACE = 0.3  # of two boxes' union that they share, if they are of one face: engines crop differently
_LEAST_VALUES = 10  # for a correlation
Measured = tuple[Mapping[str, float], str]


def agreement(stage: str, main: Mapping[str, Any], answer: Any) -> Measured:
    """Measure -> value, the deciding one first, or why nothing was measured. stage: whose question was answered. main:
    the main engines' values by stage. answer: the second engine's, not None."""
    own = main.get(stage)
    if own is None:
        return {}, "the main engine has no answer"
    if isinstance(answer, ActionUnitSeries):
        return _units(own, answer, main["subject"])
    if isinstance(answer, LabelScores):
        return _labels(own, answer)
    if isinstance(answer, Transcript):
        return _words(own, answer)
    return {}, "no judge of texts was asked"


def at_peak(series: ActionUnitSeries, peak: Peak) -> dict[str, Any]:
    """Of a second engine's series, what a record keeps: its Action Units of the subject at the main engine's peak."""
    face = _same_face(series, peak.index, peak.box) if peak.box else None
    return {
        "frames": len(series.frames),
        "measurable": list(series.measurable),
        "peak": {"present": sorted(face.present), "intensity": dict(face.intensity)} if face else None,
    }


def _units(own: ActionUnitSeries, other: ActionUnitSeries, subject: Subject) -> Measured:
    """F1 of the units that are present and r of their intensities (Pearson), over all frames in which both see the
    subject, of units that both engines measure."""
    shared = sorted(set(own.measurable) & set(other.measurable))
    pairs = [
        (face, found)
        for index, place in subject.faces
        if (face := own.frames[index].faces[place]) and (found := _same_face(other, index, face.box))
    ]
    if not shared or not pairs:
        why = "no Action Unit is measured by both" if not shared else "it does not see the subject's face"
        return {}, why
    present = [(unit in face.present, unit in found.present) for face, found in pairs for unit in shared]
    both, either = sum(a and b for a, b in present), sum(a + b for a, b in present)
    measured = {"f1_present": round(2 * both / either, _DIGITS) if either else 1.0}
    values = np.array(list(_intensities(pairs, shared)), float).reshape(-1, 2)
    if len(values) >= _LEAST_VALUES and (values.std(axis=0) > 0).all():
        measured["r_intensity"] = round(float(np.corrcoef(values.T)[0, 1]), _DIGITS)
    return measured, ""


def _intensities(pairs: list[tuple[Face, Face]], units: list[str]) -> Iterator[tuple[float, float]]:
    for face, found in pairs:
        for unit in units:
            if unit in face.intensity and unit in found.intensity:
                yield face.intensity[unit], found.intensity[unit]


def _same_face(series: ActionUnitSeries, index: int, box: tuple[float, float, float, float]) -> Face | None:
    faces = series.frames[index].faces if index < len(series.frames) else ()
    best = max(faces, key=lambda face: overlap(face.box, box), default=None)
    return best if best and overlap(best.box, box) >= _SAME_FACE else None


def _labels(own: LabelScores, other: LabelScores) -> Measured:
    """Jensen-Shannon similarity: 1 less the divergence (Lin 1991) in bits, 0 to 1; and whether the first label is the
    same."""
    labels = sorted({*own.probability, *other.probability})
    one, two = ([side.probability.get(label, 0.0) for label in labels] for side in (own, other))
    middle = [(a + b) / 2 for a, b in zip(one, two, strict=True)]
    divergence = (_relative(one, middle) + _relative(two, middle)) / 2
    first = [max(labels, key=lambda label: side.probability.get(label, 0.0)) for side in (own, other)]
    similarity = round(min(1.0, max(0.0, 1 - divergence)), _DIGITS)
    return {"jensen_shannon": similarity, "same_label": float(first[0] == first[1])}, ""


def _relative(shares: list[float], middle: list[float]) -> float:
    return sum(share * log2(share / mean) for share, mean in zip(shares, middle, strict=True) if share > 0)


def _words(own: Transcript, other: Transcript) -> Measured:
    """1 less the word error rate, or less that of characters where words are not apart; 0 at the least."""
    by_character = own.language in WITHOUT_BLANKS
    one, two = plain_words(own.text), plain_words(other.text)
    wrong = error_rate("".join(one), "".join(two)) if by_character else error_rate(one, two)
    wrong = float(bool(two)) if wrong is None else wrong
    return {"one_less_cer" if by_character else "one_less_wer": round(max(0.0, 1 - wrong), _DIGITS)}, ""
