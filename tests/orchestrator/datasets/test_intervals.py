"""The interval of a share, against scipy's."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from merrflow.datasets.evaluation.measures import Share
from merrflow.datasets.intervals import wilson
from merrflow.datasets.review.agreement import share_of


@pytest.mark.parametrize(("hits", "number"), [(0, 1), (0, 10), (1, 10), (10, 10), (250, 500), (499, 500)])
def test_it_is_that_of_scipy_and_the_same_wherever_a_share_is_shown(hits: int, number: int) -> None:
    known = binomtest(hits, number).proportion_ci(method="wilson")
    assert wilson(hits, number) == pytest.approx((known.low, known.high), abs=1e-12)
    shown = share_of(hits, number)
    assert Share(hits, number).interval == wilson(hits, number) == (shown.low, shown.high)


def test_of_nothing_it_is_everything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert Share(0, 0).interval is None
