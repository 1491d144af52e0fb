"""Filter for clips on which second engines (witnesses of a run) do not agree with the main ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from merrflow.datasets.curation.base import ClipFilter
from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.rules import FilterRules, Share


class ConsensusRules(FilterRules):
    at_least: dict[str, Share]
    not_measured: Literal["keep", "drop"]


def disagreement(values: Mapping[tuple[str, str], float | None], at_least: Mapping[str, float]) -> str | None:
    """Why answers count as disagreement: of (clue, witness) -> agreement, the first below its clue's threshold."""
    for (clue, witness), value in sorted(values.items()):
        if value is not None and value < at_least.get(clue, 0.0):
            return f"{witness} agrees to {value:.2f} on the {clue}, and {at_least[clue]:.2f} is asked for"
    return None


class Consensus(ClipFilter[ConsensusRules]):
    """Every witness that was measured must agree; what could not be measured speaks against nothing, unless it is
    set to."""

    name = "consensus"
    about = "second engines (merrflow run --witness) do not agree with the main ones"
    rules_type = ConsensusRules

    def knows(self, clip: Candidate) -> bool:
        known = self._asked(clip).values()
        return any(value is not None for value in known) or (self.rules.not_measured == "drop" and bool(known))

    def reason(self, clip: Candidate) -> str | None:
        asked = self._asked(clip)
        unmeasured = [f"{clue} by {witness}" for (clue, witness), value in sorted(asked.items()) if value is None]
        if unmeasured and self.rules.not_measured == "drop":
            return f"agreement is not known: {unmeasured[0]}"
        return disagreement(asked, self.rules.at_least)

    def _asked(self, clip: Candidate) -> dict[tuple[str, str], float | None]:
        return {key: value for key, value in clip.agreement.items() if key[0] in self.rules.at_least}
