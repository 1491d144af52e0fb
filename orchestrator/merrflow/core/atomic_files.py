"""Writing files so that a reader sees the old one or the whole new one, never a half, also after a power failure."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

_OLD_SECONDS = 3600.0  # where a file system has no locks, a partial file of that age is a dead process's
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
_CANNOT_SYNC = (errno.EINVAL, errno.EOPNOTSUPP)  # of a folder, on some network file systems


@contextmanager
def whole_text(path: Path) -> Iterator[TextIO]:
    """A text file for writing that takes its place only when it is complete. Raises `OSError`."""
    sweep_partial(path.parent, path.name)
    with _partial(path) as raw, open(raw.fileno(), "w", encoding="utf-8", newline="\n", closefd=False) as file:
        yield file


def whole_bytes(path: Path, data: bytes) -> None:
    """Writes a file that takes its place only when it is complete. Raises `OSError`."""
    with _partial(path) as file:
        file.write(data)


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power failure, after a file got its name there."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(handle)


def sweep_partial(folder: Path, name: str = "") -> None:
    """Removes what killed writers left half written in a folder (of the file `name` alone, if given)."""
    prefix = f".{name}." if name else "."
    with suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            if entry.name.startswith(prefix) and entry.name.endswith(".part") and entry.is_file(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_left(Path(entry.path))


@contextmanager
def _partial(path: Path) -> Iterator[BinaryIO]:
    """A file beside `path` that takes its name when the block ends well, and is gone when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}.part")
    try:
        with _locked(partial) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(partial, path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _locked(partial: Path) -> BinaryIO:
    """A new file, locked as long as it is open: another process sees by the lock that its writer lives."""
    while True:
        file = partial.open("wb")
        try:
            with suppress(OSError):  # no locks on this file system
                fcntl.flock(file, fcntl.LOCK_EX)
            if partial.exists():  # a sweeper may have come between
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def _remove_if_left(partial: Path) -> None:
    with partial.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:  # its writer lives, or there are no locks
            if error.errno not in _NO_LOCKS or time.time() - partial.stat().st_mtime < _OLD_SECONDS:
                return
        partial.unlink()
