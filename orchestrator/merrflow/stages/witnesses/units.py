"""The Action Unit rules as a witness."""

from __future__ import annotations

from merrflow.core.labels import Vote
from merrflow.stages.witnesses.case import Case, abstains, speaks_against, speaks_for
from merrflow.stages.witnesses.rules import Witnesses

NAME = "units"


def vote(case: Case, rules: Witnesses) -> Vote:
    """Whether the label's rule is met at the peak. For neutral, the absence of units is no evidence."""
    found, limits = case.found, rules.units
    if found.supported is None:
        return abstains(NAME, f"the engine does not measure what the rule of {found.label} needs")
    if found.label == rules.neutral:
        if found.supported:
            return abstains(NAME, "no expressive rule is met, which does not show that the face is neutral")
        return speaks_against(NAME, found.ruled, limits.against_weight, f"the rule of {found.ruled} is met at the peak")
    units = " ".join(found.action_units)
    if found.supported:
        score = found.scores.get(found.label, 0.0)
        strong = score >= limits.strong_score
        weight = limits.strong_weight if strong else limits.weight
        reason = f"the rule of {found.label} is met by {units} (evidence {score:.2f}"
        return speaks_for(NAME, found.label, weight, f"{reason}, strong from {limits.strong_score:g})")
    if found.ruled and found.ruled not in (found.label, rules.neutral):
        return speaks_against(
            NAME, found.ruled, limits.against_weight, f"the rule of {found.label} is not met, that of {found.ruled} is"
        )
    return abstains(NAME, f"neither the rule of {found.label} nor another is met")
