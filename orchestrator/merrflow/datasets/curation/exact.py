"""Clips of which another has the same bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from merrflow.datasets.curation.base import Filter, Verdict
from merrflow.datasets.curation.best import rank
from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.rules import FilterRules


class ExactDuplicates(Filter[FilterRules]):
    """Of files with the same SHA-256 the best one stays; their records may differ, as models may."""

    name = "exact"
    about = "another clip has the same bytes; the best of a group stays"

    def judge(self, clips: Sequence[Candidate]) -> Verdict:
        groups: dict[str, list[Candidate]] = defaultdict(list)
        for clip in clips:
            if clip.sha256:
                groups[clip.sha256].append(clip)
        drops: dict[str, str] = {}
        for group in groups.values():
            first, *others = sorted(group, key=lambda clip: rank(clip, self.shared.best))
            drops |= {clip.name: f"the same bytes as {first.name}" for clip in others}
        return Verdict(drops, sum(not clip.sha256 for clip in clips))
