"""Filter for clips whose fine-grained text says what the clues contradict or, by setting, do not tell."""

from __future__ import annotations

from merrflow.datasets.curation.base import ClipFilter
from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.rules import FilterRules, Share
from merrflow.stages.claims.judge import Finding


class ClaimRules(FilterRules):
    judges: tuple[str, ...]
    contradicted_above: Share | None
    not_told_above: Share | None


class ClaimsOfText(ClipFilter[ClaimRules]):
    """By the scores that `merrflow score` left in the ledger. One judge is enough to drop a clip."""

    name = "claims"
    about = "of what the fine-grained text claims, too much is contradicted by the clues (by setting also: not told)"
    rules_type = ClaimRules

    def knows(self, clip: Candidate) -> bool:
        return any(judge in clip.text_claims for judge in self.rules.judges)

    def reason(self, clip: Candidate) -> str | None:
        limits = {Finding.CONTRADICTED: self.rules.contradicted_above, Finding.NOT_TOLD: self.rules.not_told_above}
        for judge in self.rules.judges:
            shares = clip.text_claims.get(judge)
            for finding, most in limits.items():
                share = shares.share(finding) if shares else None
                if shares and share is not None and most is not None and share > most:
                    return f"{share:.0%} of {shares.claims} claims of the text are {finding}, by the judge {judge}"
        return None
