"""How far independent witnesses bear a label out. The label itself is never changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from merrflow.core.labels import Label, Standing, Verdict, Vote
from merrflow.core.measurements import ActionUnitSeries, Subject
from merrflow.core.spoken import Subtitle
from merrflow.core.texts import Tone
from merrflow.stages.expressions import mean_shares
from merrflow.stages.stage import Stage, Work
from merrflow.stages.witnesses import expression, given, scores, units, voice, words
from merrflow.stages.witnesses.case import AGAINST, FOR, Case, abstains, fails
from merrflow.stages.witnesses.rules import Witnesses, load_witnesses

Witness = Callable[[Case, Witnesses], Vote]
WITNESSES: Mapping[str, Witness] = {one.NAME: one.vote for one in (units, expression, words, voice, scores, given)}
_SLACK = 1e-9  # so that 0.3 + 0.3 + 0.4 reaches 1


def stand(case: Case, rules: Witnesses | None = None, witnesses: Mapping[str, Witness] = WITNESSES) -> Standing:
    """The verdict with all votes, in the witnesses' order. A witness that fails abstains with its error, and all do on
    a label that their file does not know: what they say under other names would count against it."""
    rules = rules or load_witnesses()
    if case.found.label not in rules.valence:
        unknown = f"{rules.title} says nothing of {case.found.label}"
        return decide([abstains(name, unknown) for name in witnesses], case.found.label, rules)
    votes = []
    for name, witness in witnesses.items():
        try:
            votes.append(witness(case, rules))
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # nonsense in one clue
            votes.append(fails(name, " ".join(str(error).split()) or type(error).__name__))
    return decide(votes, case.found.label, rules)


def decide(votes: Iterable[Vote], label: str, rules: Witnesses) -> Standing:
    """The verdict that the votes add up to, in whatever order they come."""
    votes = tuple(votes)
    speaking = {kind: [vote for vote in votes if vote.vote == kind and vote.weight > 0] for kind in (FOR, AGAINST)}
    weight = {kind: sum(vote.weight for vote in found) for kind, found in speaking.items()}
    lead = weight[FOR] - weight[AGAINST]
    unopposed = weight[AGAINST] <= rules.unopposed + _SLACK
    if lead >= rules.confirm - _SLACK and unopposed and _independent(speaking[FOR], rules):
        verdict = Verdict.CONFIRMED
    elif lead <= _SLACK - rules.contradict:
        verdict = Verdict.CONTRADICTED
    else:
        verdict = Verdict.UNDETERMINED
    parts = [
        f"{', '.join(sorted(vote.witness for vote in found))} {verb} {label} ({weight[kind]:g})"
        for kind, verb in ((FOR, "for"), (AGAINST, "against"))
        if (found := speaking[kind])
    ]
    reason = "; ".join(parts) or f"no witness speaks for {label} or against it"
    return Standing(verdict, votes, reason, rules.title)


def _independent(votes: Sequence[Vote], rules: Witnesses) -> bool:
    """Whether the votes for a label rest on several kinds of evidence, or one of them is strong by itself. Action
    Units and an expression network see the same face, and err on the same face."""
    kinds = {rules.evidence[vote.witness] for vote in votes if vote.witness in rules.evidence}
    return len(kinds) >= rules.independent or any(vote.weight >= rules.strong - _SLACK for vote in votes)


def _standing(
    work: Work,
    found: Label,
    said: Subtitle,
    tone: Tone | None,
    distribution: Mapping[str, Mapping[str, float]],
    series: ActionUnitSeries,
    subject: Subject,
) -> Standing:
    scorer = work.run.identities.get("llama3", {})
    return stand(
        Case(
            found=found,
            said=said,
            tone=tone,
            scores=distribution.get("all", {}),
            scorer=scorer.get("model", ""),
            expression=mean_shares(series, subject),
        ),
        work.run.witnesses,
    )


STAGE: Stage[Standing] = Stage(
    name="standing",
    version="2",
    purpose="how far other witnesses bear the label out",
    compute=_standing,
    needs=("label", "words", "tone", "label_scores", "action_units", "subject"),
)
