"""What nvidia-smi says, by scripts that say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from merrflow.cli.nvidia import read_driver
from tests.orchestrator.cli.doctor.situations import GIB, fake_command

TWO = """cat <<'END'
0, GPU-aaa, NVIDIA H200, 580.65.06, 9.0, 143771, 143262
1, GPU-bbb, NVIDIA GB10, 580.65.06, 12.1, [N/A], [N/A]
END"""


@pytest.fixture
def smi(tmp_path: Path, monkeypatch):
    """Puts a script in the place of nvidia-smi."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return lambda script: fake_command(tmp_path / "bin", "nvidia-smi", script)


def test_cards(smi) -> None:
    smi(TWO)
    first, second = read_driver().cards
    assert (first.name, first.driver, first.capability) == ("NVIDIA H200", "580.65.06", (9, 0))
    assert first.total > 140 * GIB > first.free > 139 * GIB
    assert (second.index, second.total, second.free) == (1, 0, 0)


@pytest.mark.parametrize(
    ("visible", "indices"), [("1", [1]), ("1,0", [1, 0]), ("GPU-aa", [0]), ("0,7,1", [0]), ("", []), ("-1", [])]
)
def test_cards_that_the_process_may_use(smi, monkeypatch, visible: str, indices: list[int]) -> None:
    smi(TWO)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = read_driver()
    assert [card.index for card in found.cards] == indices
    assert bool(found.problem) is not bool(indices)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (
            "echo 'NVIDIA-SMI has failed because it could not communicate with the driver.'; exit 9",
            "could not communicate",
        ),
        ("exit 12", "exit code 12"),
        ("echo No devices were found", "cannot be read: No devices"),
        ("true", "sees no card"),
    ],
)
def test_a_driver_that_does_not_work(smi, script: str, said: str) -> None:
    smi(script)
    found = read_driver()
    assert not found.cards
    assert said in found.problem


def test_no_driver(smi) -> None:
    assert "not installed" in read_driver().problem
