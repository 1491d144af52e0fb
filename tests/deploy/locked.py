"""Locks between the processes that share the container tests."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Who uses Docker's engine, and who restarts it, take turns.
ENGINE = Path(tempfile.gettempdir()) / f"merrflow-test-engine-{os.getuid()}"


@contextmanager
def locked(path: Path, *, alone: bool) -> Iterator[None]:
    """Waits for its turn. alone: while nobody else has the lock; otherwise while nobody has it alone."""
    lock = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(lock)
