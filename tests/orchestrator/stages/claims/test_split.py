"""Claims of a text."""

from __future__ import annotations

import time

import pytest

from merrflow.stages.claims.split import MOST_CLAIMS, split


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("The voice is loud and fast.", ["The voice is loud and fast"]),
        (
            "The voice is loud, and the woman smiles while she sits at a desk.",
            ["The voice is loud", "the woman smiles", "she sits at a desk"],
        ),
        ("She smiles but her voice is quiet.", ["She smiles", "her voice is quiet"]),
        ('He says "I run and you are slow." She smiles.', ['He says "I run and you are slow."', "She smiles"]),
        ("With raised cheeks and parted lips, she smiles.", ["With raised cheeks and parted lips, she smiles"]),
        ("This is a video. Mr. Smith sits.", ["Mr. Smith sits"]),
        ("", []),
        ("...", []),
    ],
)
def test_clauses_with_a_verb_of_their_own_are_claims(text, claims):
    assert split(text) == claims


@pytest.mark.parametrize("text", ['"' * 20_000, " and is" * 20_000, "a. " * 50_000, "; is" * 30_000, "x" * 1_000_000])
def test_a_text_of_any_length_is_split_soon(text):
    start = time.monotonic()
    assert len(split(text)) <= MOST_CLAIMS
    assert time.monotonic() - start < 5
