"""Errors between two writings of the same words."""

from __future__ import annotations

import pytest

from merrflow.stages.word_errors import error_rate, plain_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don’t  STOP -- now!", ["dont", "stop", "now"]),
        ("ﬁne ＡＢＣ", ["fine", "abc"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("مَرْحَبًا", ["مَرْحَبًا"]),
        ("?!", []),
    ],
)
def test_words_without_case_and_stops_and_with_their_signs(text, words):
    assert plain_words(text) == words


def test_edits_over_what_is_said():
    assert error_rate(["a", "b"], ["a", "c"]) == 0.5
    assert error_rate(["a"], ["b", "c", "d"]) == 3
    assert error_rate("", "abc") is None
