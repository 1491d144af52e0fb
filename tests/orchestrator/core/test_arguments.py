"""Arguments of another type, or of no use, are refused in one line that names them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from merrflow.core.arguments import as_path, as_paths, as_seed, as_text, as_texts
from merrflow.core.errors import InputError

NO_PATHS = (None, 5, "", b"x", "a\0b", "a\ud800", ["a"], "a\nb\0")


@pytest.mark.parametrize("given", NO_PATHS, ids=ascii)
def test_what_is_no_path(given):
    with pytest.raises(InputError, match="^out: a path is wanted, not ") as refused:
        as_path("out", given)
    assert str(refused.value).isprintable()


def test_paths():
    odd = os.fsdecode(b"caf\xe9")  # a name that is not UTF-8
    assert [as_path("out", one) for one in ("a", Path("a"), odd)] == [Path("a"), Path("a"), Path(odd)]
    assert as_paths("clips", "a") == as_paths("clips", Path("a")) == as_paths("clips", ["a"]) == [Path("a")]
    assert as_paths("clips", iter(["a", Path("b")])) == [Path("a"), Path("b")] and as_paths("clips", []) == []
    for given, wrong in ((None, "None"), (b"x", "b'x'"), (["a", 5], "5"), (["a", ""], "''")):
        with pytest.raises(InputError, match=f"^clips: a path is wanted, not {wrong}$"):
            as_paths("clips", given)


@pytest.mark.parametrize("given", [None, 5, b"x", ["a"], "\ud800"], ids=ascii)
def test_what_is_no_text(given):
    assert as_text("scene", "") == ""
    with pytest.raises(InputError, match="^scene: a text is wanted, not "):
        as_text("scene", given)


@pytest.mark.parametrize("given", [None, 5, "happy", b"happy", ["a", 5], ["\ud800"]], ids=ascii)
def test_what_are_no_texts(given):
    assert as_texts("labels", iter(["a", "b"])) == ("a", "b")
    with pytest.raises(InputError, match="^labels: a list of texts is wanted, not "):
        as_texts("labels", given)


@pytest.mark.parametrize("given", [None, -1, 2**64, 1.0, "1"])
def test_what_is_no_seed(given):
    assert as_seed("seed", 2**64 - 1) == 2**64 - 1
    with pytest.raises(InputError, match=r"^seed: a whole number from 0 to 2\*\*64 - 1 is wanted, not "):
        as_seed("seed", given)
