"""Driver, torch's build and memory against the engines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from merrflow.cli.doctor import cards
from merrflow.cli.nvidia import Driver
from tests.orchestrator.cli.doctor.situations import card, reasoner, situation


def states(check, told) -> list[tuple[str, str]]:
    return [(one.check, one.state) for one in check(told)]


def test_without_a_card_nothing_is_missing_unless_an_engine_wants_one() -> None:
    assert states(cards.driver, situation()) == [("driver", "ok")]
    (found,) = cards.driver(situation(reasoner()))
    assert (found.state, "llama3 with transformers" in found.found) == ("missing", True)
    assert "MERRFLOW_LLAMA3_DEVICE=cpu" in found.todo
    (found,) = cards.driver(situation(reasoner(), inside=True))
    assert "gpu.yml" in found.todo


@pytest.mark.parametrize(
    ("cuda", "driver", "capability", "missing"),
    [
        ("13.0", "580.65.06", (9, 0), []),
        ("13.0", "570.86.10", (9, 0), ["driver for CUDA 13"]),
        ("13.0", "580.65.06", (7, 0), ["card for CUDA 13"]),
        ("12.6", "525.60.13", (7, 0), []),
        ("12.6", "470.82.01", (7, 0), ["driver for CUDA 12"]),
        ("", "580.65.06", (9, 0), ["torch"]),
        ("99.0", "580.65.06", (9, 0), []),
    ],
)
def test_torch_against_driver_and_card(monkeypatch, cuda, driver, capability, missing) -> None:
    monkeypatch.setattr(cards, "installed_torch", lambda: ("2.13.0", cuda))
    told = situation(reasoner(), driver=Driver((card(driver=driver, capability=capability),)))
    found = list(cards.torch_build(told))
    assert [one.check for one in found if one.state == "missing"] == missing
    assert all("cu126" in one.todo for one in found if one.state == "missing")


def test_torch_of_containers_is_not_that_of_the_machine() -> None:
    assert states(cards.torch_build, situation(reasoner(), containers=True)) == []


def test_torch_is_read_without_importing_it() -> None:
    version, cuda = cards.installed_torch() or ("", "")
    import torch

    assert (version, cuda) == (torch.__version__, torch.version.cuda or "")


@pytest.mark.parametrize(("needed", "free", "state"), [(20, 79, "ok"), (79, 79, "missing"), (20, 5, "missing")])
def test_memory(needed: int, free: int, state: str) -> None:
    told = situation(reasoner(needed), driver=Driver((card(free=free),)))
    assert states(cards.memory, told) == [("card's memory", state)]


def test_a_card_that_takes_all_with_smaller_batches_only_is_no_fault() -> None:
    both = [replace(reasoner(40), least=17 << 30), replace(reasoner(35), least=16 << 30)]
    (found,) = cards.memory(situation(*both, driver=Driver((card(free=60),))))
    assert found.state == "note" and "60.0 GiB free, for all with smaller batches" in found.found
    (found,) = cards.memory(situation(*both, driver=Driver((card(free=30),))))
    assert found.state == "missing" and "33.5 GiB needed at least" in found.found


def test_engines_on_one_card_are_added_up() -> None:
    told = situation(reasoner(50), reasoner(50), reasoner(50, index=1), driver=Driver((card(0), card(1))))
    assert states(cards.memory, told) == [("card's memory", "missing"), ("card's memory", "ok")]
    (found,) = cards.memory(situation(reasoner(1, index=3), driver=Driver((card(0),))))
    assert "no card 3" in found.found
