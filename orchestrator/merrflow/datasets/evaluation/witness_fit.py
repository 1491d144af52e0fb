"""Fits the weights and thresholds of the witnesses to labels that people gave, and measures them on held-out clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from merrflow.core.errors import InputError
from merrflow.core.labels import Verdict, Vote
from merrflow.core.records import Record
from merrflow.stages.standing import decide
from merrflow.stages.witnesses.case import ABSTAINS, FOR
from merrflow.stages.witnesses.rules import Held, Witnesses, WitnessFit

FOLDS = 5
SEED = 0
LEAST = 2 * FOLDS  # clips whose label is right, and as many whose label is wrong, so that each fold has two of both
PULL = 3.0  # how hard a factor is held at 1, its default, where there are few votes
LARGEST = 2.0  # weight, as the file allows
TRUSTED = 0.9  # precision that each verdict is to have
_DEFAULTS = {Verdict.CONFIRMED: "confirm", Verdict.CONTRADICTED: "contradict"}
Factors = Mapping[tuple[str, str], float]  # (witness, "for" or "against") -> what its default weight is multiplied by


@dataclass(frozen=True)
class Judged:
    """One clip: the label that a run gave it, the votes on it, and whether a person says that it is right."""

    sha256: str
    label: str
    votes: tuple[Vote, ...]
    right: bool


def judged(records: Iterable[Record], truth: Callable[[Record], str | None], like: Witnesses) -> list[Judged]:
    """The records that have a standing and that `truth` knows, by name. Raises InputError if the standings are by
    another file than `like`, whose weights the votes would not be."""
    found = []
    for record in records:
        own, standing = truth(record), record.label.standing
        if own is None or standing is None:
            continue
        if standing.rules != like.title:
            raise InputError(
                f"{record.name}: its standing is by the witnesses {standing.rules}, and not by {like.title}: give the "
                "file of the run with --like, or run again"
            )
        found.append(Judged(record.sha256, record.label.label, standing.votes, record.label.label == own))
    return found


def silent(clips: Sequence[Judged], like: Witnesses) -> dict[str, str]:
    """The witnesses that abstained on all clips, each with its most frequent reason."""
    reasons: dict[str, Counter[str]] = {}
    speaking = {vote.witness for clip in clips for vote in clip.votes if vote.vote != ABSTAINS}
    for clip in clips:
        for vote in clip.votes:
            if vote.witness not in speaking:
                reasons.setdefault(vote.witness, Counter())[vote.reason] += 1
    return {name: counts.most_common(1)[0][0] for name, counts in reasons.items()}


def fit_witnesses(clips: Sequence[Judged], like: Witnesses, name: str, against: str, sha256: str) -> Witnesses:
    """A file of witnesses like `like` whose weights and thresholds are fitted to the clips.

    Each default weight is multiplied by a factor of a logistic regression on whether the label is right, held at 1 by
    a penalty; `confirm` and `contradict` are then the least that reach a precision of 0.9. against, sha256: the table
    of labels. Raises InputError if the clips are too few.
    """
    right = sum(clip.right for clip in clips)
    if min(right, len(clips) - right) < LEAST:
        raise InputError(
            f"{against}: of {len(clips)} clips with a standing and a label, {right} were labelled right by the run and "
            f"{len(clips) - right} wrong; a fit needs {LEAST} of each"
        )
    held: list[tuple[Judged, Verdict]] = []
    for train, test in _folds(clips):
        fold = _fitted([clips[i] for i in train], like)
        held += [(clips[i], _verdict(clips[i], fold, like)) for i in test]
    default = [(clip, decide(clip.votes, clip.label, like).verdict) for clip in clips]
    fit = WitnessFit(
        against=against,
        sha256=sha256,
        records=dict(sorted(Counter(clip.label for clip in clips).items())),
        method=f"logistic regression with weights of at least 0, L2 penalty {PULL:g} towards those of {like.title}; "
        f"thresholds for a precision of {TRUSTED:g}",
        validation=f"{FOLDS}-fold, stratified by right and wrong, copies of a clip together, seed {SEED}",
        confirmed=_measured(held, Verdict.CONFIRMED),
        contradicted=_measured(held, Verdict.CONTRADICTED),
        default_confirmed=_measured(default, Verdict.CONFIRMED),
        default_contradicted=_measured(default, Verdict.CONTRADICTED),
    )
    rules = _fitted(clips, like)
    return rules.model_copy(update={"name": name, "version": "1", "fit": fit})


def _fitted(clips: Sequence[Judged], like: Witnesses) -> Witnesses:
    factors = _factors(clips)
    rules = _weighed(like, factors)
    for verdict, key in _DEFAULTS.items():
        rules = rules.model_copy(update={key: _threshold(clips, rules, like, verdict, key)})
    return rules


def _factors(clips: Sequence[Judged]) -> Factors:
    from scipy.optimize import minimize

    kinds = sorted({_kind(vote) for clip in clips for vote in clip.votes if vote.vote != ABSTAINS})
    table = np.array([[_pull(clip, kind) for kind in kinds] for clip in clips])
    sign = np.array([1.0 if clip.right else -1.0 for clip in clips])

    def loss(values: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        margin = sign * (values[0] + table @ values[1:])
        slope = -sign / (1 + np.exp(margin))
        off = values[1:] - 1
        gradient = np.concatenate([[slope.sum()], table.T @ slope + 2 * PULL * off])
        return float(np.logaddexp(0, -margin).sum() + PULL * off @ off), gradient

    start = np.array([0.0] + [1.0] * len(kinds))
    bounds = [(None, None)] + [(0.0, 4.0)] * len(kinds)
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-12})
    return dict(zip(kinds, found.x[1:].tolist(), strict=True))


def _pull(clip: Judged, kind: tuple[str, str]) -> float:
    """What the votes of a kind add to the lead of the label."""
    return sum(
        vote.weight if vote.vote == FOR else -vote.weight
        for vote in clip.votes
        if vote.vote != ABSTAINS and _kind(vote) == kind
    )


def _kind(vote: Vote) -> tuple[str, str]:
    """Which weight of the file a vote has: that of the scores is one for both."""
    return vote.witness, FOR if vote.witness == "scores" else vote.vote


def _weighed(like: Witnesses, factors: Factors) -> Witnesses:
    """`like` with each weight multiplied; those of witnesses that did not speak stay."""

    def times(section: Any, witness: str, fields: Mapping[str, str]) -> Any:
        values = {}
        for field, vote in fields.items():
            old, factor = getattr(section, field), factors.get((witness, vote), 1.0)
            many = {key: _rounded(weight * factor) for key, weight in old.items()} if isinstance(old, dict) else None
            values[field] = many if many is not None else _rounded(old * factor)
        return section.model_copy(update=values)

    both = {"weight": FOR, "against_weight": "against"}
    sections = {
        "units": times(like.units, "units", {**both, "strong_weight": FOR}),
        "expression": times(like.expression, "expression", {**both, "sure_weight": FOR}),
        "words": times(like.words, "words", both),
        "voice": times(like.voice, "voice", {"against_weight": "against"}),
        "scores": times(like.scores, "scores", {"weight": FOR, "other_models": FOR}),
        "given": times(like.given, "given", {"weight": FOR}),
    }
    return like.model_copy(update=sections)


def _reweighed(votes: Sequence[Vote], rules: Witnesses, like: Witnesses) -> tuple[Vote, ...]:
    """The votes of a run by `like`, as they would weigh by `rules`."""

    def ratio(vote: Vote) -> float:
        field = "weight" if _kind(vote)[1] == FOR else "against_weight"
        new, old = (getattr(getattr(file, vote.witness), field) for file in (rules, like))
        pairs = [(new[key], old[key]) for key in old] if isinstance(old, dict) else [(new, old)]
        return next((mine / theirs for mine, theirs in pairs if theirs), 1.0)

    return tuple(vote if vote.vote == ABSTAINS else replace(vote, weight=vote.weight * ratio(vote)) for vote in votes)


def _verdict(clip: Judged, rules: Witnesses, like: Witnesses) -> Verdict:
    return decide(_reweighed(clip.votes, rules, like), clip.label, rules).verdict


def _threshold(clips: Sequence[Judged], rules: Witnesses, like: Witnesses, verdict: Verdict, key: str) -> float:
    """The least threshold at which a verdict is right often enough, one more clip of each kind counted for caution;
    the default if none is."""
    default: float = getattr(rules, key)
    for value in np.arange(0.2, 2.5, 0.1):
        tried = rules.model_copy(update={key: _rounded(value)})
        hits = [
            clip.right == (verdict is Verdict.CONFIRMED) for clip in clips if _verdict(clip, tried, like) is verdict
        ]
        if hits and (sum(hits) + 1) / (len(hits) + 2) >= TRUSTED:
            return _rounded(value)
    return default


def _measured(found: Sequence[tuple[Judged, Verdict]], verdict: Verdict) -> Held:
    wanted = verdict is Verdict.CONFIRMED
    given = [clip for clip, own in found if own is verdict]
    hits = sum(clip.right == wanted for clip in given)
    all_ = sum(clip.right == wanted for clip, _ in found)
    return Held(
        precision=round(hits / len(given), 3) if given else None,
        recall=round(hits / all_, 3) if all_ else None,
        number=len(given),
    )


def _folds(clips: Sequence[Judged]) -> list[tuple[Any, Any]]:
    from sklearn.model_selection import StratifiedGroupKFold

    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    groups = [clip.sha256 for clip in clips]
    return list(folds.split(np.zeros(len(clips)), [clip.right for clip in clips], groups))


def _rounded(value: float) -> float:
    return round(min(float(value), LARGEST), 2)
