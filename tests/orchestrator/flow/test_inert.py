"""What people, models and files wrote, in a table of Prefect's."""

from __future__ import annotations

import re

import pytest

from merrflow.flow.inert import as_written, inert

TEXTS = [
    "<img src=x onerror=alert(1)>",
    "[click](http://evil.example)",
    "![picture](http://evil.example/p.png)",
    "[a]: http://evil.example",
    "see https://evil.example and www.evil.example, or mail a@evil.example",
    "<!-- hidden --><script>x()</script>",
    "<https://evil.example>",
]
ACTS = re.compile(r"<[a-zA-Z/!]|\]\(|\]\[|\]:|://|www\.|\w@\w", re.IGNORECASE)


@pytest.mark.parametrize("text", TEXTS)
def test_no_markup_is_left_that_acts(text):
    assert ACTS.search(text), "or this test tries nothing"
    assert not ACTS.search(inert(text))
    assert as_written(inert(text)) == text


def test_plain_text_is_left_alone():
    text = "confirmed: scores, units for happy (1.2); 3 < 4 & 5 > 2, a_b *c*"
    assert as_written(inert(text)) == text
    assert inert("What a day!") == "What a day!"
