"""How far a run's peak frames lie from the file's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, median

from merrflow.datasets.evaluation.measures import Pair, Share, share

NEAR = (0, 1, 2, 5, 10)  # frames


@dataclass(frozen=True)
class PeakMeasures:
    """Distances in frames; a difference is the run's frame less the file's, so that a positive one is later."""

    clips: int
    median: float  # of the distance, without sign
    mean: float  # of the distance, without sign
    mean_difference: float  # with sign: whether the run's peaks come early or late
    median_difference: float
    earlier: int  # clips whose peak is before the file's
    later: int
    within: Mapping[int, Share]  # frames -> clips at most so far away
    differences: Mapping[int, int]  # difference -> clips, ascending


def measure_peaks(pairs: Iterable[Pair]) -> PeakMeasures | None:
    """Of the clips for which both sides have a peak; None if there are none."""
    differences = [
        run.peak_index - file.peak_index
        for file, run in pairs
        if file.peak_index is not None and run.peak_index is not None
    ]
    if not differences:
        return None
    distances = [abs(difference) for difference in differences]
    return PeakMeasures(
        clips=len(differences),
        median=float(median(distances)),
        mean=fmean(distances),
        mean_difference=fmean(differences),
        median_difference=float(median(differences)),
        earlier=sum(difference < 0 for difference in differences),
        later=sum(difference > 0 for difference in differences),
        within={limit: share(distance <= limit for distance in distances) for limit in NEAR},
        differences=dict(sorted(Counter(differences).items())),
    )
