"""What is in the way of a pull of several weights is said at once, before the first byte comes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from merrflow_serving.errors import PASSING, NotReady
from merrflow_serving.weights import locate_all
from merrflow_serving.weights.entries import Entry, Repository, WeightFile
from merrflow_serving.weights.locate import together
from merrflow_serving.weights.pull import preflight, pull
from tests.services.serving.test_weights_pull import TOKEN, Hub, an_entry, hub, place

__all__ = ["hub"]  # the fixture


@pytest.fixture
def known(monkeypatch) -> dict[str, Entry]:
    """Three entries instead of the table's: open, gated, and on no hub."""
    found = {
        "open": an_entry(name="open"),
        "gated": an_entry(name="gated", repositories={"huggingface": Repository("o/m", "main", gated=True)}),
        "by-hand": an_entry(name="by-hand", repositories={}, steps=("curl -o {folder}/x https://host.example/x",)),
    }
    monkeypatch.setattr(sys.modules["merrflow_serving.weights.locate"], "entry", found.__getitem__)
    return found


def test_weights_on_no_hub_are_named_before_others_are_pulled(hub: Hub, known, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match=r"the weights by-hand are not in .*curl -o .*https://host.example/x"):
        locate_all({name: place(tmp_path) for name in ("open", "by-hand")})
    assert not hub.asked
    assert locate_all({"open": place(tmp_path)})["open"] == tmp_path / "models/open"


def test_all_that_is_in_the_way_is_named(hub: Hub, known, tmp_path: Path) -> None:
    hub.gated = True
    with pytest.raises(NotReady) as caught:
        locate_all({name: place(tmp_path) for name in known})
    said = str(caught.value)
    assert "the weights by-hand are not in" in said and "refuses the weights gated" in said
    assert not hub.asked and caught.value.reason in PASSING


def test_a_licence_not_accepted_is_seen_where_all_may_list(hub: Hub, known, tmp_path: Path, monkeypatch) -> None:
    """As on Hugging Face, where only the files of a gated repository are refused."""
    hub.gated = hub.open_listing = True
    (problem,) = preflight([(known["gated"], place(tmp_path))])
    assert problem.reason == "MODEL_GATED" and "no token is set in HF_TOKEN" in str(problem)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert not preflight([(known["gated"], place(tmp_path))]) and not hub.asked


def test_room_is_counted_for_all_together(hub: Hub, known, tmp_path: Path, monkeypatch) -> None:
    size = len(hub.files["model.safetensors"])
    spare = 256 << 20
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=spare + size + size // 2))
    both = [(an_entry(name=name), place(tmp_path)) for name in ("one", "two")]
    assert not preflight(both[:1])
    (problem,) = preflight(both)
    assert problem.reason == "STORAGE" and str(problem).startswith("one, two needs")


def test_weights_that_were_handed_in_are_in_nobodys_way(hub: Hub, tmp_path: Path) -> None:
    by_hand = an_entry(name="by-hand", repositories={}, steps=("curl x",), files=(WeightFile("x"),))
    (tmp_path / "models/by-hand").mkdir(parents=True)
    (tmp_path / "models/by-hand/x").write_bytes(b"weights")
    assert not preflight([(by_hand, place(tmp_path))])
    assert pull(by_hand, place(tmp_path)) == tmp_path / "models/by-hand"


def test_one_that_does_not_pass_keeps_the_service_from_trying_again() -> None:
    passing, lasting = NotReady("a", reason="STORAGE"), NotReady("b", reason="DEVICE_MISSING")
    assert together([passing, lasting]).reason == "DEVICE_MISSING" and str(together([passing, lasting])) == "a\nb"
