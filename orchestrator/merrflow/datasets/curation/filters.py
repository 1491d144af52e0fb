"""The filters that a configuration asks for, in its order."""

from __future__ import annotations

from merrflow.datasets.curation.base import Filter
from merrflow.datasets.curation.config import CurationConfig
from merrflow.datasets.curation.contradictions import (
    AgainstDistribution,
    ModalitiesApart,
    ToneContradicted,
    Unsupported,
)
from merrflow.datasets.curation.exact import ExactDuplicates
from merrflow.datasets.curation.near import NearDuplicates
from merrflow.datasets.curation.neutral import NeutralSample
from merrflow.datasets.curation.overabundance import Overabundance
from merrflow.datasets.curation.quality import Quality


def make_filters(config: CurationConfig) -> tuple[Filter, ...]:
    """One object for each name in `config.order`."""
    makers = {
        "distribution": lambda: AgainstDistribution(config.distribution, config.valence),
        "modalities": lambda: ModalitiesApart(config.modalities, config.valence),
        "support": lambda: Unsupported(config.support, config.neutral.label),
        "tone": lambda: ToneContradicted(config.tone),
        "quality": lambda: Quality(config.quality),
        "exact": lambda: ExactDuplicates(config.best),
        "near": lambda: NearDuplicates(config.near, config.best),
        "neutral": lambda: NeutralSample(config.neutral, config.seed),
        "overabundance": lambda: Overabundance(config.overabundance, config.best, config.seed),
    }
    return tuple(makers[name]() for name in config.order)
