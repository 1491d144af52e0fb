"""Labels of which there are too many clips."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Annotated, Literal

from pydantic import Field

from merrflow.core.datafile import Place
from merrflow.datasets.curation.base import Filter, Verdict
from merrflow.datasets.curation.best import rank
from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.neutral import draw
from merrflow.datasets.curation.rules import Count, FilterRules


class OverabundanceRules(FilterRules):
    caps: dict[str, Count]
    ratio: Annotated[float, Field(ge=1)] | None
    to: Literal["median", "rarest"]
    spare: Count
    keep: Literal["draw", "best"]

    def labels(self) -> Iterable[tuple[Place, str]]:
        for label in self.caps:
            yield ("caps", label), label


class Overabundance(Filter[OverabundanceRules]):
    """Caps each label, by number or by its ratio to the others."""

    name = "overabundance"
    about = "clips of a label beyond its cap, drawn by a seeded hash or by quality"
    rules_type = OverabundanceRules
    balances = True

    def judge(self, clips: Sequence[Candidate]) -> Verdict:
        groups: dict[str, list[Candidate]] = defaultdict(list)
        for clip in clips:
            groups[clip.label].append(clip)
        drops: dict[str, str] = {}
        for label, (cap, why) in self._caps({label: len(group) for label, group in groups.items()}).items():
            kept = "the best" if self.rules.keep == "best" else "those drawn"
            reason = f"{len(groups[label])} {label} clips, of which {kept} {cap} stay ({why})"
            drops |= {clip.name: reason for clip in self._ordered(groups[label])[cap:]}
        return Verdict(drops)

    def _caps(self, counts: Mapping[str, int]) -> dict[str, tuple[int, str]]:
        """Label -> how many may stay and why, for the labels that have more."""
        caps = {label: (cap, "the cap of this label") for label, cap in self.rules.caps.items() if label in counts}
        if self.rules.ratio is not None and counts:
            common = min(counts.values()) if self.rules.to == "rarest" else median(counts.values())
            limit = max(self.rules.spare, int(self.rules.ratio * common))
            why = f"{self.rules.ratio:g} times the {self.rules.to} of the labels, which is {common:g}"
            if limit == self.rules.spare:
                why += f", but not fewer than {limit}"
            caps = {label: (limit, why) for label in counts} | caps
        return {label: (cap, why) for label, (cap, why) in caps.items() if counts[label] > cap}

    def _ordered(self, clips: Sequence[Candidate]) -> list[Candidate]:
        """Those that stay first."""
        if self.rules.keep == "best":
            return sorted(clips, key=lambda clip: rank(clip, self.shared.best))
        return [clip for _, clip in draw(clips, self.shared.seed, self.name)]
