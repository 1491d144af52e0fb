"""What a child process said last, for the message that says why it ended."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from merrflow.core.errors import listed


def last_words(log: Path, since: int) -> str:
    """The last line of a log, and where that log is. since: the bytes that were in it before this child was started."""
    lines = []
    with suppress(OSError), log.open("rb") as file:
        file.seek(since)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return f"{listed(lines[-1:]) if lines else 'it wrote no log'}; log: {log}"
