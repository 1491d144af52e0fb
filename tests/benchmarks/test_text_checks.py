"""The checks of texts on the planted set: floors under the figures of docs/benchmarks.md."""

from __future__ import annotations

from benchmarks import text_checks


def test_planted_faults_are_found_and_good_texts_pass():
    made = list(text_checks.texts())
    assert len(made) >= 400
    shares = text_checks.found()
    assert shares.pop(text_checks.GOOD) == 0
    assert shares.pop("precision") == 1
    assert min(shares.values()) >= 0.75, shares
    assert sum(shares.values()) / len(shares) >= 0.92, shares
