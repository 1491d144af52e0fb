"""What mining.yaml holds, read strictly."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import Field, StringConstraints

from merrflow.core.datafile import Strict, read

Share = Annotated[float, Field(ge=0, le=1)]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z' -]*\*?$")]


class Beside(Strict):
    """What other clues add at most."""

    all: Share
    voice: Share
    words: Share
    subtitle: Share
    tone: Share


class MiningRules(Strict):
    """See mining.yaml."""

    version: str
    absent_share: Annotated[float, Field(ge=0, lt=1)]
    trace: Annotated[float, Field(gt=0, le=5)]
    power: Annotated[float, Field(ge=1)]
    lasting: Annotated[float, Field(ge=0, le=1)]  # seconds
    doubtful_confidence: Share
    held: Share
    beside: Beside
    least_evidence: Annotated[float, Field(ge=0)]
    words: dict[str, tuple[Word, ...]]


@cache
def load_mining() -> MiningRules:
    """The numbers that come with the package."""
    return read(files("merrflow.datasets.mining") / "mining.yaml", MiningRules)
