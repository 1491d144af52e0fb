"""Ranks the clips of a finished run by how near they come to a label."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from merrflow.core.errors import InputError
from merrflow.core.labels import Verdict
from merrflow.core.measurements import ActionUnitSeries
from merrflow.datasets.mining.beside import beside
from merrflow.datasets.mining.faces import Box, Seen, all_faces, peak_face, subject_of
from merrflow.datasets.mining.nearness import Nearness
from merrflow.datasets.mining.onset import held, lasting
from merrflow.datasets.mining.readable import readable
from merrflow.datasets.mining.settings import MiningRules, load_mining
from merrflow.facs.rules import RuleSet, UnknownLabel
from merrflow.facs.units import openface_units
from merrflow.stages.stage import Skip
from merrflow.store import ClipResults, Ledger

# The order of review, the highest first: what is not settled, 0, is where a person helps most.
_TURN: Mapping[str, int] = {Verdict.CONTRADICTED: -1, Verdict.CONFIRMED: -2}


@dataclass(frozen=True)
class Candidate:
    """One line of the review queue."""

    rank: int  # from 1; 0 while the queue is made
    name: str
    path: Path
    score: float  # nearness of the face, of which 1 is enough for the label, plus what other clues add
    frame: int  # from 0: the nearest one
    seconds: float  # of that frame
    label: str  # the record's label; "" if the clip was skipped or failed
    outcome: str
    reasons: tuple[str, ...]
    box: Box | None  # of the face in that frame: x, y, width, height in pixels
    standing: str = ""  # of the record's label; "" if it has none


@dataclass(frozen=True)
class Mined:
    """The review queue, and what has to be known to read it."""

    label: str
    rules: str
    candidates: tuple[Candidate, ...]
    clips: int  # that came to an outcome
    without_face: int  # of these, with no Action Units to look at
    limits: tuple[str, ...]  # what the engines cannot measure of this label, in words


def mine(
    ledger: Ledger,
    label: str,
    rules: RuleSet,
    top: int = 50,
    *,
    others: bool = False,
    mining: MiningRules | None = None,
) -> Mined:
    """The `top` clips nearest to `label`: those that are not settled first, then nearest first; ties by name.

    Blocking; memory does not grow with the clips.

    Every face of every frame gives a bound for the clip; only if that would come into the list is the clip's subject
    looked up and judged alone. Skipped clips are judged like the others. `others`: leave out clips that have the label
    already. Raises `InputError` for a label that the set has not, or that has no rule.
    """
    if top < 1:
        raise InputError(f"--top {top}: ask for at least 1 clip")
    mining = mining or load_mining()
    try:
        label = rules.normal(label)
    except UnknownLabel as error:
        raise InputError(str(error)) from error
    rule = rules.rule(label)
    if rule is None:
        raise InputError(f"{label} is no expression and cannot be mined; choose one of {', '.join(rules.labels[1:])}")
    names = (label, *rule.aliases)
    judges: dict[tuple[str, ...], Nearness] = {}
    engines: Counter[tuple[str, tuple[str, ...]]] = Counter()
    heap: list[tuple[int, float, int, Candidate]] = []
    clips = without = 0
    for number, (stored, record, series, engine) in enumerate(readable(ledger)):
        clips += 1
        if series is None and record is None:
            without += 1
            continue
        own = record["label"]["label"] if record else ""
        if others and own == label:
            continue
        measurable = series.measurable if series else _precomputed(record)
        engines[engine, measurable] += 1
        if measurable not in judges:
            judges[measurable] = Nearness(rules, label, measurable, mining)
        near = judges[measurable]
        more, more_reasons = beside(record, stored.sentence, label, names, mining)
        faces = list(all_faces(series, rules.peak)) if series else [peak_face(record)] if record else []
        ratios = [near.ratio(face.present, face.intensity) * _sure(face, rules, mining) for face in faces]
        bound = round(_bound(faces, ratios, series, mining) + more, 4)
        standing = _standing(record)
        turn = _TURN.get(standing, 0)
        if bound < mining.least_evidence or (len(heap) == top and (turn, bound) <= heap[0][:2]):
            continue
        found = _exact(stored, record, series, faces, ratios, near, mining)
        if found is None:
            continue
        face, ratio, reasons = found
        score = round(ratio + more, 4)
        if score < mining.least_evidence:
            continue
        box, reasons = face.box, (*reasons, *more_reasons)
        one = Candidate(
            0, stored.name, stored.path, score, face.frame, face.seconds, own, stored.outcome, reasons, box, standing
        )
        # Clips come by name, so that of two equal ones the later is the first to go.
        entry = (turn, score, -number, one)
        if len(heap) < top:
            heapq.heappush(heap, entry)
        elif entry[:3] > heap[0][:3]:
            heapq.heapreplace(heap, entry)
    best = sorted(heap, key=lambda entry: entry[:3], reverse=True)
    candidates = tuple(replace(one, rank=rank) for rank, (*_, one) in enumerate(best, start=1))
    return Mined(label, rules.title, candidates, clips, without, _limits(engines, judges, label))


def _standing(record: Mapping[str, Any] | None) -> str:
    standing = (record or {}).get("label", {}).get("standing") or {}
    return str(standing.get("verdict", ""))


def _precomputed(record: Mapping[str, Any] | None) -> tuple[str, ...]:
    """A record without a series was made from a precomputed peak, where OpenFace's units can be present."""
    peak = record["peak"]["action_units"] if record else ()
    return tuple(sorted({*openface_units(), *peak}))


def _exact(
    stored: ClipResults,
    record: Mapping[str, Any] | None,
    series: ActionUnitSeries | None,
    faces: Sequence[Seen],
    ratios: Sequence[float],
    near: Nearness,
    mining: MiningRules,
) -> tuple[Seen, float, tuple[str, ...]] | None:
    """The subject's nearest frame, its nearness and why; None if nobody is followed."""
    if series is None:
        own = {faces[0].frame: (faces[0], ratios[0])}
    else:
        probe = from_json(stored.stages["probe"])["value"] if "probe" in stored.stages else None
        places = subject_of(record, series, probe)
        if isinstance(places, Skip):
            return None
        pairs = zip(faces, ratios, strict=True)
        own = {face.frame: (face, ratio) for face, ratio in pairs if (face.frame, face.place) in places}
    if not own:
        return None
    by_frame = {frame: ratio for frame, (_, ratio) in own.items()}
    frame, ratio = lasting(by_frame, _half_window(series, mining))
    face = own[frame][0]
    if ratio <= 0:
        if record is None:
            return None
        face = peak_face(record)
        return face, 0.0, (f"nothing of the label in the face; frame {face.frame} is the clip's peak",)
    here = near.ratio(face.present, face.intensity)
    state = "the rule is met" if here >= 1 else f"{here:.2f} of what makes the label"
    reasons = [f"frame {face.frame}: {near.reason(face.present, face.intensity)} ({state})"]
    if series is not None:
        frames = held(by_frame, frame, mining.held * ratio)
        reasons.append(f"held for {frames} frame{'s' if frames != 1 else ''}")
    if face.confidence is not None and face.confidence < mining.doubtful_confidence:
        reasons.append(f"face found with confidence {face.confidence:.2f} only, so it counts less")
    decided = near.decided(face.present, face.intensity)
    if decided != near.label:
        reasons.append(f"the rules would say {decided} there")
    return face, ratio, tuple(reasons)


def _bound(
    faces: Sequence[Seen], ratios: Sequence[float], series: ActionUnitSeries | None, mining: MiningRules
) -> float:
    """What no subject of the clip can be nearer than: as if the nearest face of each frame were the subject's."""
    nearest: dict[int, float] = {}
    for face, ratio in zip(faces, ratios, strict=True):
        nearest[face.frame] = max(ratio, nearest.get(face.frame, 0.0))
    return lasting(nearest, _half_window(series, mining))[1] if nearest else 0.0


def _half_window(series: ActionUnitSeries | None, mining: MiningRules) -> int:
    """Frames on either side over which an expression must last; 0 for a peak alone."""
    return round(mining.lasting * series.fps) // 2 if series else 0


def _sure(face: Seen, rules: RuleSet, mining: MiningRules) -> float:
    """0 at the least confidence that the rule set takes, 1 from that on which no tracker is thought to slip."""
    least, full = rules.peak.minimum_confidence, mining.doubtful_confidence
    if face.confidence is None or face.confidence >= full:
        return 1.0
    return max(0.0, face.confidence - least) / (full - least)


def _limits(
    engines: Counter[tuple[str, tuple[str, ...]]], judges: Mapping[tuple[str, ...], Nearness], label: str
) -> tuple[str, ...]:
    """What the engines cannot measure, most clips first."""
    lines = []
    for (engine, measurable), count in sorted(engines.items(), key=lambda item: (-item[1], item[0])):
        near = judges[measurable]
        lacking = [code for code in near.units if code not in measurable]
        if not lacking:
            continue
        who = f"{engine or 'the engine'} ({count} clip{'s' if count != 1 else ''}) measures no {', '.join(lacking)}"
        if not near.judgeable:
            lines.append(f"{who}: its faces cannot tell {label}, and only words and tone are left to rank by")
        else:
            lines.append(f"{who}: {label} is ranked by what is left of its rule, take it with care")
    return tuple(lines)
