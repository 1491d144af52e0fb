"""What checks are given in the tests, and a folder of fake commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from merrflow.cli.doctor.engines import Chosen
from merrflow.cli.doctor.finding import Situation
from merrflow.cli.nvidia import Card, Driver
from merrflow.core.settings import RunSettings

GIB = 1 << 30


def situation(*engines: Chosen, **fields: Any) -> Situation:
    return Situation(**{"engines": engines, "settings": RunSettings(), "driver": Driver(problem="no card"), **fields})


def card(index: int = 0, driver: str = "580.65.06", capability: tuple[int, int] = (9, 0), free: int = 79) -> Card:
    """free: GiB of 80."""
    return Card(index, f"GPU-{index}", "Some Card", driver, capability, 80 * GIB, free * GIB)


def reasoner(needed: int = 20, index: int = 0) -> Chosen:
    """llama3 on a card. needed: GiB."""
    return Chosen("llama3", "transformers", card=index, bytes=needed * GIB)


def fake_command(folder: Path, name: str, script: str) -> None:
    """A shell script in `folder`, which is made."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
