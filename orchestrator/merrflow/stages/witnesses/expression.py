"""The expression network as a witness: only where its mean share was seen to be right."""

from __future__ import annotations

from merrflow.core.labels import Vote
from merrflow.stages.witnesses.case import Case, abstains, fails, speaks_against, speaks_for
from merrflow.stages.witnesses.rules import Witnesses

NAME = "expression"


def vote(case: Case, rules: Witnesses) -> Vote:
    """By the mean share of the label's class over the subject's judged frames."""
    limits, shares = rules.expression, case.expression
    if not shares:
        return fails(NAME, "no expression network looked at the face")
    own = limits.classes.get(case.found.label)
    for name, least in limits.confirms.items():
        share = shares.get(name, 0.0)
        if name != own and share >= least:
            other = next((label for label, kind in limits.classes.items() if kind == name), name)
            reason = f"{name} at a mean share of {share:.2f}, from {least:.2f} on taken as shown"
            return speaks_against(NAME, other, limits.against_weight, reason)
    if own is None or (own not in limits.confirms and own not in limits.contradicts):
        return abstains(NAME, f"the network is not good enough at {case.found.label} to vote")
    share = shares.get(own, 0.0)
    if share >= limits.confirms.get(own, 2.0):
        sure = share >= limits.sure.get(own, 2.0)
        least = (limits.sure if sure else limits.confirms)[own]
        reason = f"{own} at a mean share of {share:.2f}, at least {least:.2f} {'is sure' if sure else 'confirms'}"
        return speaks_for(NAME, case.found.label, limits.sure_weight if sure else limits.weight[own], reason)
    if share < limits.contradicts.get(own, 0.0):
        reason = f"{own} at a mean share of {share:.2f}, below {limits.contradicts[own]:.2f} contradicts"
        return speaks_against(NAME, "", limits.against_weight, reason)
    takes = f"; it takes {limits.confirms[own]:.2f}" if own in limits.confirms else ""
    return abstains(NAME, f"{own} at a mean share of {share:.2f} is no vote{takes}")
