"""`merrflow.annotate` with arguments that are of no use: one line, and nothing is written."""

from __future__ import annotations

import pytest

import merrflow
from merrflow.pipeline.request import Request

NAMES = ("clips", "out", "transcripts", "config", "labels", "action_units")


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    """The working folder, which such calls wrote into."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [None, 5, "", b"x", "a\0b"], ids=ascii)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_path(name, given):
    if given is None and name not in ("clips", "out"):
        return
    with pytest.raises(merrflow.InputError, match=f"^{name}: a path is wanted, not ") as refused:
        merrflow.annotate(**{"clips": "clips", "out": "out", name: given})
    assert str(refused.value).isprintable()


def test_paths_in_prefects_form():
    for values in ({"inputs": ("",)}, {"out": ""}, {"config": "a\0b"}):
        with pytest.raises(merrflow.InputError, match="a path is wanted, not"):
            Request(**{"inputs": ("clips",), "out": "out", **values})
    assert Request(("clips",), "~nobody-of-this-name/out").folder.name == "out"
