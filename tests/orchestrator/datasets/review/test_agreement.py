"""Figures of agreement, against libraries and published examples."""

from __future__ import annotations

import random

import pytest
from scipy.stats import binomtest

from merrflow.datasets.review.agreement import cohen, fleiss, share_of

# Fleiss 1971, Psychological Bulletin 76, table 1, as in many textbooks: 10 items, 14 raters, 5 categories; 0.210.
COUNTS = (
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
)  # fmt: skip


@pytest.mark.parametrize(("hits", "number"), [(0, 10), (1, 10), (10, 10), (250, 500), (499, 500)])
def test_wilsons_interval_is_that_of_scipy(hits: int, number: int) -> None:
    found, known = share_of(hits, number), binomtest(hits, number).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-6)
    assert found.value == hits / number


def test_nothing_looked_at_says_nothing() -> None:
    found = share_of(0, 0)
    assert (found.value, found.low, found.high) == (None, 0.0, 1.0)
    assert cohen([]) is None
    assert fleiss([["happy"]]) is None


def test_cohens_kappa_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import cohen_kappa_score

    draw = random.Random(3)
    pairs = [(draw.choice("abc"), draw.choice("aab")) for _ in range(200)]
    one, other = zip(*pairs, strict=True)
    assert cohen(pairs) == pytest.approx(cohen_kappa_score(one, other))


def test_fleiss_kappa_is_that_of_the_textbook() -> None:
    ratings = [[str(label) for label, count in enumerate(row) for _ in range(count)] for row in COUNTS]
    assert fleiss(ratings) == pytest.approx(0.210, abs=0.0005)


def test_full_agreement_on_one_label_is_not_defined() -> None:
    assert cohen([("a", "a")] * 5) is None
    assert fleiss([["a", "a"]] * 5) is None
