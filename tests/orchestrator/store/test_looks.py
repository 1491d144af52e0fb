"""How often a rerun looks at a finished clip's file: each look at 70,000 of them takes a fifth of a second."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from merrflow.core.inputs import assign_names
from merrflow.formats.clip_list import find_clips
from merrflow.store import Ledger

CLIPS = 20


def entered(ledger: Ledger, folder: Path) -> None:
    """As a run enters the clips of a folder."""
    found = find_clips([folder])
    known = ledger.follow_moved(found)
    names = assign_names(found, {row.name: path for path, row in known.items()})
    clips = ledger.register(found, names, known)
    assert len(clips) == CLIPS and all(clip.file and clip.file.inode for clip in clips)


def test_a_rerun_looks_at_each_file_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(CLIPS):
        (folder / f"{number}.mp4").write_bytes(b"%d" % number)
    (tmp_path / "out").mkdir()
    ledger = Ledger.in_folder(tmp_path / "out")
    entered(ledger, folder)
    looks: Counter[str] = Counter()
    for call in ("stat", "readlink"):
        found = getattr(os, call)

        def counted(path: Any, *more: Any, _found: Any = found, _call: str = call, **named: Any) -> Any:
            looks[_call] += str(path).endswith(".mp4")
            return _found(path, *more, **named)

        monkeypatch.setattr(os, call, counted)
    entered(ledger, folder)
    assert looks == Counter(stat=2 * CLIPS)
    ledger.close()
