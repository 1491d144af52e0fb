"""How a rule set was fitted and how well it does, as its file says."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from merrflow.core.datafile import Strict

Share = Annotated[float, Field(ge=0, le=1)]


class Measured(Strict):
    """A share of right labels, over the folds of a cross-validation."""

    mean: Share
    spread: Share  # standard deviation over the folds


class Fit(Strict):
    """How the weights were found, and what they are worth on records they were not fitted to (calibrate.py)."""

    against: str  # the annotations' file name
    sha256: str  # of its bytes
    records: dict[str, int]  # by label
    method: str
    class_weights: str
    validation: str
    accuracy: Measured  # of all records
    non_neutral: Measured  # of the records that are not neutral
    balanced: Measured  # mean of the labels' recalls
    recall: dict[str, Measured]  # by label
    majority: Share  # accuracy of always giving the most frequent label
    ceiling: Share  # of the best function of the exact set of units, on the very records it is made from
    sets_seen_once: Share  # share of the exact sets that one record only has; the more, the emptier that ceiling
    others: dict[str, Measured] = {}  # accuracy of methods without this one's limits, in the same folds
    left_out: dict[str, int] = {}  # labels with too few records to be fitted
