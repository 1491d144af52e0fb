"""The language model's label scores as a witness, by rank and by ratio to a uniform prior."""

from __future__ import annotations

from merrflow.core.labels import Vote
from merrflow.stages.witnesses.case import Case, abstains, speaks_against, speaks_for
from merrflow.stages.witnesses.rules import Witnesses

NAME = "scores"


def vote(case: Case, rules: Witnesses) -> Vote:
    """For a label that ranks first well above chance; against one near the bottom, if another is well above it."""
    shares, label, limits = case.scores, case.found.label, rules.scores
    if len(shares) < 2 or label not in shares:
        return abstains(NAME, "the language model did not weigh the label")
    weight = limits.weight.get(case.scorer, limits.other_models)
    ranked = sorted(shares, key=lambda name: (-shares[name], name))
    rank, ratio = ranked.index(label) + 1, shares[label] * len(shares)
    top, top_ratio = ranked[0], shares[ranked[0]] * len(shares)
    place = f"{label} is number {rank} of {len(shares)} at {ratio:.2f} times an equal share"
    if rank == 1 and ratio >= limits.for_ratio:
        return speaks_for(NAME, label, weight, place)
    if ratio <= limits.against_ratio and top_ratio >= limits.top_ratio and rules.opposite(label, top):
        return speaks_against(NAME, top, weight, f"{place}, {top} is first at {top_ratio:.2f}")
    return abstains(NAME, f"{place}, which is no vote")
