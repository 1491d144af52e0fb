"""A clip's row in the ledger, and whether anything in it is new."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from merrflow.core.fingerprint import file_sha256, file_state
from merrflow.core.inputs import Found
from merrflow.core.measurements import FileState
from merrflow.core.paths import path_text

CHANGING = ("size", "mtime_ns", "sha256", "sentence", "label")
REGISTERED = ("name", "path", *CHANGING)
_CHANGING = -1, -1  # size and time of a file that changed while it was hashed: no file has them, so it is read again
_registered = itemgetter(*REGISTERED)


def row_of(clip: Found, name: str, old: sa.Row[Any] | None) -> dict[str, Any]:
    """The clip's row; its bytes are read only if its size or time has changed."""
    size, mtime_ns = stat_of(clip.path)
    sha256 = old.sha256 if old is not None and (old.size, old.mtime_ns) == (size, mtime_ns) else ""
    if not sha256:
        sha256 = hash_of(clip.path)
        if stat_of(clip.path) != (size, mtime_ns):
            size, mtime_ns = _CHANGING
    return {
        "name": name,
        "path": path_text(clip.path),
        "size": size,
        "mtime_ns": mtime_ns,
        "sha256": sha256,
        "sentence": clip.sentence,
        "label": clip.label,
        "retry": False,
    }


def differs(row: dict[str, Any], old: sa.Row[Any] | None) -> bool:
    """Whether the row has anything to write."""
    return old is None or _registered(row) != tuple(old)


def stat_of(path: Path) -> tuple[int, int]:
    """Size in bytes and time in nanoseconds; zeros if the file cannot be looked at."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def state_of(row: dict[str, Any], path: Path) -> FileState | None:
    """The file of a row of `row_of`, with what only this process can know; None if it cannot be read."""
    if not row["sha256"]:
        return None
    registered = FileState(row["size"], row["mtime_ns"])
    try:
        now = file_state(path)
    except OSError:
        return registered
    return now if now.is_like(registered) else registered


def hash_of(path: Path) -> str:
    """sha256 of the file; "" if it cannot be read."""
    try:
        return file_sha256(path)
    except OSError:
        return ""
