"""The engine's private temporary folder: readable by this user only, and always removed."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from pathlib import Path

PREFIX = "merrflow-openface-"
YOUNG_SECONDS = 60.0  # a folder this young may not have its lock yet


class PrivateFolder:
    """Removed by `close`; if the process is killed, by the guard of a running OpenFace or by the next `PrivateFolder`.

    Raises `OSError` if no folder can be made.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))  # mode 0700
        self._lock = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove_abandoned(self.path)

    def make(self) -> Path:
        """A new folder inside. Thread-safe."""
        return Path(tempfile.mkdtemp(dir=self.path))

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _remove_abandoned(own: Path) -> None:
    """Removes folders whose owner is gone, so that nobody holds their lock."""
    for path in own.parent.glob(f"{PREFIX}*"):
        try:
            stat = path.lstat()
            if path == own or stat.st_uid != os.getuid() or time.time() - stat.st_mtime < YOUNG_SECONDS:
                continue
            lock = os.open(path / "lock", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except OSError:
            pass  # its owner is alive
        finally:
            os.close(lock)
