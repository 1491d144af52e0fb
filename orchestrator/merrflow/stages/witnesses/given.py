"""A label that a table gives, as a witness: a person's word."""

from __future__ import annotations

from merrflow.core.labels import Vote
from merrflow.stages.witnesses.case import Case, abstains, speaks_for
from merrflow.stages.witnesses.rules import Witnesses

NAME = "given"


def vote(case: Case, rules: Witnesses) -> Vote:
    """For every label of a table. Where it came from is not judged."""
    if case.found.source != "table":
        return abstains(NAME, "no table gives a label")
    return speaks_for(NAME, case.found.label, rules.given.weight, "given in the table")
