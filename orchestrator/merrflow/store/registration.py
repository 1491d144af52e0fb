"""What the ledger has of a clip, and what it is to have."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from merrflow.core.fingerprint import file_sha256, file_state
from merrflow.core.inputs import Found
from merrflow.core.measurements import FileState
from merrflow.core.paths import path_text

CHANGING = ("size", "mtime_ns", "sha256", "sentence", "label")
_UNSTEADY = FileState(-1, -1)  # of a file that changed while it was hashed: no file is like it, so it is read again
_AWAY = FileState(0, 0)  # of a file that cannot be looked at


class Registered(NamedTuple):
    """What the ledger has of a clip when a run begins."""

    name: str
    path: str  # as `path_text` writes it
    size: int
    mtime_ns: int
    sha256: str
    sentence: str | None
    label: str | None


def registered(clip: Found, name: str, old: Registered | None) -> tuple[Registered, FileState | None]:
    """What is to be in the ledger, and the file's state; None if it cannot be read. Its bytes are read only if its size
    or time has changed."""
    state = state_of(clip.path) or _AWAY
    sha256 = old.sha256 if old is not None and (old.size, old.mtime_ns) == (state.size, state.mtime_ns) else ""
    if not sha256:
        sha256 = hash_of(clip.path)
        after = state_of(clip.path) or _AWAY
        state = after if after.is_like(state) else _UNSTEADY
    row = Registered(name, path_text(clip.path), state.size, state.mtime_ns, sha256, clip.sentence, clip.label)
    return row, state if sha256 else None


def state_of(path: Path) -> FileState | None:
    """The file's state; None if it cannot be looked at."""
    try:
        return file_state(path)
    except OSError:
        return None


def hash_of(path: Path) -> str:
    """sha256 of the file; "" if it cannot be read."""
    try:
        return file_sha256(path)
    except OSError:
        return ""
