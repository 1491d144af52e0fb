"""The quick way to a fingerprint gives what the general one gives: keys in ledgers hold for good."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from merrflow.core.fingerprint import fingerprint, plain_fingerprint

_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
_STAMP = st.lists(st.tuples(_TEXT, st.integers(0, 2**60), st.integers(0, 2**63)).map(list), max_size=3)


@given(_TEXT, _TEXT, st.none() | _TEXT, st.none() | _TEXT, _STAMP)
def test_the_same_either_way(
    common: str, sha256: str, sentence: str | None, label: str | None, stamp: list[list[object]]
) -> None:
    parts = [common, sha256, sentence, label, stamp]
    assert plain_fingerprint(parts) == fingerprint(*parts)


def test_it_is_what_it_was() -> None:
    assert fingerprint("a", None, [["b.srt", 1, 2]]) == "a6090bcffd00cfefeae93a45732f89a0"
