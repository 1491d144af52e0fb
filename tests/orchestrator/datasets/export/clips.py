"""Clips that are where a run's ledger says they are."""

from __future__ import annotations

from pathlib import Path

from merrflow.store import Ledger
from tests.orchestrator.fakes import make_video


def with_clips(out: Path, ledger: Ledger, *names: str, film: bool = False) -> None:
    """Lets these clips be in `out/clips`. film: half a second of one, with sound; else a few bytes."""
    (out / "clips").mkdir(exist_ok=True)
    for number, name in enumerate(names):
        path = out / "clips" / f"{name}.mp4"
        if film:
            make_video(path, "red", seed=number)
        else:
            path.write_bytes(b"film of " + name.encode())
        move(ledger, name, path)


def move(ledger: Ledger, name: str, path: Path) -> None:
    """Lets the ledger have this path for a clip."""
    with ledger._engine.begin() as db:
        db.exec_driver_sql("UPDATE clips SET path = ? WHERE name = ?", (str(path), name))
