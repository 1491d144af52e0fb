"""What came of a comparison: how often B's text was preferred, and how far that can be relied on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from merrflow.datasets.preference.answers import Answer, By, Choice
from merrflow.datasets.preference.pairs import Matching, Pair
from merrflow.datasets.review.agreement import Share, cohen, fleiss, share_of

LABELS_DIFFER = "labels differ"


class Outcome(StrEnum):
    """What a pair came to."""

    A = "a"
    B = "b"
    TIE = "tie"  # both are as good, or as many reviewers prefer one as the other
    INCONSISTENT = "inconsistent"  # shown the other way round, the answer was another
    OPEN = "open"  # not answered yet, or by a model in one order only


@dataclass(frozen=True)
class Tally:
    """Outcomes of some pairs. Pairs with identical texts are not among them."""

    a: int
    b: int
    ties: int
    inconsistent: int
    open: int
    win_rate: Share  # of B, among the pairs with a preference, with Wilson's 95 % interval
    p: float | None  # two-sided sign test of "neither is preferred"; None without a preference

    @property
    def answered(self) -> int:
        return self.a + self.b + self.ties + self.inconsistent


@dataclass(frozen=True)
class Judged:
    """One judge: all people together, or one model."""

    by: By
    name: str
    all: Tally
    labels: Mapping[str, Tally]
    swap: Share  # pairs answered in both orders with the same answer; by people, of each reviewer
    first: Share  # answers with a preference that chose the text shown first: without a bias about half
    reviewers: Mapping[str, int]  # name -> answers
    agreement: Mapping[str, float | None]  # of two reviewers ("ann, ben") Cohen's kappa, of all Fleiss'
    with_people: Share | None  # of a model: pairs on which people prefer the same text, of those with both preferences
    outcomes: Mapping[str, Outcome]  # by pair


@dataclass(frozen=True)
class Comparison:
    """Two runs, as everybody who was asked judges them."""

    matching: Matching
    asked: tuple[Pair, ...]  # with different texts
    identical: tuple[Pair, ...]
    judged: tuple[Judged, ...]  # people first


def compared(matching: Matching, pairs: Sequence[Pair], answers: Iterable[Answer]) -> Comparison:
    """pairs: those of the matching that are compared."""
    asked = tuple(pair for pair in pairs if not pair.identical)
    judges: defaultdict[tuple[By, str], list[Answer]] = defaultdict(list)
    known = {pair.id for pair in asked}
    for answer in answers:
        if answer.pair in known:
            judges[answer.by, answer.judge if answer.by is By.MODEL else ""].append(answer)
    people = judges.pop((By.PEOPLE, ""), [])
    found = [_judged(By.PEOPLE, "people", asked, people)] if people else []
    said = found[0].outcomes if found else {}
    for (by, name), given in sorted(judges.items()):
        found.append(_judged(by, name, asked, given, said))
    return Comparison(matching, asked, tuple(pair for pair in pairs if pair.identical), tuple(found))


def _judged(
    by: By, name: str, pairs: Sequence[Pair], answers: Sequence[Answer], people: Mapping[str, Outcome] | None = None
) -> Judged:
    of_pair: defaultdict[str, defaultdict[str, list[Answer]]] = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        of_pair[answer.pair][answer.judge].append(answer)
    said = {pair: {judge: _both(by, given) for judge, given in judges.items()} for pair, judges in of_pair.items()}
    outcomes = {pair.id: _together(list(said.get(pair.id, {}).values())) for pair in pairs}
    twice = [given for judges in of_pair.values() for given in judges.values() if len(given) > 1]
    preferring = [answer for answer in answers if answer.choice is not Choice.SAME]
    strata: defaultdict[str, list[Outcome]] = defaultdict(list)
    for pair in pairs:
        strata[pair.label or LABELS_DIFFER].append(outcomes[pair.id])
    return Judged(
        by=by,
        name=name,
        all=tally(outcomes.values()),
        labels={label: tally(strata[label]) for label in sorted(strata)},
        swap=share_of(sum(len({one.choice for one in given}) == 1 for given in twice), len(twice)),
        first=share_of(sum(answer.first for answer in preferring), len(preferring)),
        reviewers=dict(Counter(answer.judge for answer in answers).most_common()),
        agreement=_agreement(list(said.values())),
        with_people=_with(outcomes, people) if people else None,
        outcomes=outcomes,
    )


def tally(outcomes: Iterable[Outcome]) -> Tally:
    """Counts, win rate and sign test."""
    from scipy.stats import binomtest

    counts = Counter(outcomes)
    a, b = counts[Outcome.A], counts[Outcome.B]
    p = float(binomtest(b, a + b, 0.5).pvalue) if a + b else None
    return Tally(a, b, counts[Outcome.TIE], counts[Outcome.INCONSISTENT], counts[Outcome.OPEN], share_of(b, a + b), p)


def _both(by: By, given: Sequence[Answer]) -> Outcome:
    """One judge's answers to a pair: a preference counts only if both orders agree, where both were asked."""
    choices = {answer.choice for answer in given}
    if len(choices) > 1:
        return Outcome.INCONSISTENT
    if by is By.MODEL and len({answer.order for answer in given}) < 2:
        return Outcome.OPEN
    return {Choice.A: Outcome.A, Choice.B: Outcome.B, Choice.SAME: Outcome.TIE}[choices.pop()]


def _together(said: Sequence[Outcome]) -> Outcome:
    """Most of the reviewers who prefer one; as many for each is a tie."""
    if not said:
        return Outcome.OPEN
    counts = Counter(said)
    if counts[Outcome.A] != counts[Outcome.B]:
        return Outcome.A if counts[Outcome.A] > counts[Outcome.B] else Outcome.B
    return said[0] if len(counts) == 1 else Outcome.TIE


def _agreement(said: Sequence[Mapping[str, Outcome]]) -> dict[str, float | None]:
    clear = [{judge: str(one) for judge, one in judges.items() if one is not Outcome.OPEN} for judges in said]
    several = [judges for judges in clear if len(judges) > 1]
    names = sorted({name for judges in several for name in judges})
    found = {}
    for one, other in combinations(names, 2):
        if both := [(judges[one], judges[other]) for judges in several if one in judges and other in judges]:
            found[f"{one}, {other}"] = cohen(both)
    if len(names) > 2:
        found["all"] = fleiss([list(judges.values()) for judges in several])
    return found


def _with(outcomes: Mapping[str, Outcome], people: Mapping[str, Outcome]) -> Share:
    clear = (Outcome.A, Outcome.B)
    both = [pair for pair, one in outcomes.items() if one in clear and people.get(pair) in clear]
    return share_of(sum(outcomes[pair] is people[pair] for pair in both), len(both))
