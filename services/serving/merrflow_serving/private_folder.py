"""Temporary folders that this user alone can read, and that are removed even if their process was killed.

Each is locked for as long as its process lives. Whoever makes one also removes those whose lock is free.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "merrflow-"
YOUNG_SECONDS = 60.0  # a folder this young may not have its lock yet
_LOCK = "lock"


class PrivateFolder:
    """Removed by `close`; if the process is killed, by `remove_abandoned`, which every new folder calls too.

    Raises `OSError` if no folder can be made.
    """

    def __init__(self, purpose: str, parent: Path | None = None) -> None:
        """purpose: a word in its name. parent: None for the system's temporary folder."""
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{purpose}-", dir=parent))  # mode 0700
        try:
            self._lock = os.open(self.path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # the disk is full
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        remove_abandoned(self.path.parent)

    def make(self) -> Path:
        """A new folder inside. Thread-safe."""
        return Path(tempfile.mkdtemp(dir=self.path))

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def remove_abandoned(parent: Path | None = None) -> None:
    """Removes this user's private folders whose owner is gone, so that nobody holds their lock.

    The parent may be shared with other users: nothing is followed that they could have put there.
    """
    with suppress(OSError):
        for path in (parent or Path(tempfile.gettempdir())).glob(f"{PREFIX}*"):
            with suppress(OSError), _opened(path) as folder:
                if _is_abandoned(folder):
                    _empty(folder)
                    path.rmdir()  # which removes nothing but an empty folder


@contextmanager
def _opened(path: Path, flags: int = os.O_RDONLY | os.O_DIRECTORY, folder: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_abandoned(folder: int) -> bool:
    """folder: an open file descriptor. Raises `OSError` if it has no lock, or one that is held."""
    found = os.fstat(folder)
    is_private = found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o700
    if not is_private or time.time() - found.st_mtime < YOUNG_SECONDS:
        return False
    with _opened(Path(_LOCK), os.O_RDWR | os.O_NONBLOCK, folder) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return stat.S_ISREG(os.fstat(lock).st_mode)


def _empty(folder: int) -> None:
    for name in os.listdir(folder):
        try:
            os.unlink(name, dir_fd=folder)
        except OSError:  # a folder
            shutil.rmtree(name, ignore_errors=True, dir_fd=folder)
