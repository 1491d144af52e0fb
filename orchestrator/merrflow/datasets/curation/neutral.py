"""A sample of the clips without an expression."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from merrflow.core.datafile import Place
from merrflow.core.fingerprint import fraction
from merrflow.datasets.curation.base import Filter, Verdict
from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.rules import Count, FilterRules, Share


class NeutralRules(FilterRules):
    label: str
    share: Share
    number: Count | None

    def labels(self) -> Iterable[tuple[Place, str]]:
        yield ("label",), self.label


class NeutralSample(Filter[NeutralRules]):
    """Each neutral clip has a number of its own, drawn by hash; those with the lowest stay."""

    name = "neutral"
    about = "neutral clips outside a seeded sample"
    rules_type = NeutralRules
    balances = True

    def judge(self, clips: Sequence[Candidate]) -> Verdict:
        drawn = draw([clip for clip in clips if clip.label == self.rules.label], self.shared.seed, self.name)
        number = len(drawn) if self.rules.number is None else self.rules.number
        share = f"not in the sample of {self.rules.share:.0%} of the {self.rules.label} clips"
        limit = f"not among the {number} {self.rules.label} clips that were drawn"
        drops = {
            clip.name: share if at >= self.rules.share else limit
            for place, (at, clip) in enumerate(drawn)
            if at >= self.rules.share or place >= number
        }
        return Verdict(drops)


def draw(clips: Sequence[Candidate], seed: int, purpose: str) -> list[tuple[float, Candidate]]:
    """The clips by a number in [0, 1) that is drawn by the hash of seed, purpose and the clip's bytes; then by name."""
    drawn = [(fraction(purpose, seed, clip.sha256 or clip.name), clip) for clip in clips]
    return sorted(drawn, key=lambda one: (one[0], one[1].name))
