"""Faults of the disk that takes weights: which errors are its own and not the network's, and what to do."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from merrflow_serving import commands
from merrflow_serving.errors import NotReady
from merrflow_serving.weights.entries import Entry

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
SPARE_BYTES = 256 << 20  # that must stay free
_FULL_TEXT = ("No space left on device", "os error 28", "Disk quota exceeded")  # by libraries that write in Rust


def need_room(what: str, folder: Path, total: int) -> None:
    """Raises `NotReady` if `total` bytes more do not fit below `folder`. What came of them before counts."""
    came = sum(_on_disk(path) for path in folder.rglob("*.incomplete"))
    free = shutil.disk_usage(_existing(folder)).free
    lacking = total - came + SPARE_BYTES - free
    if lacking > 0:
        raise NotReady(
            f"{what} needs {giga(total - came)} GB more in {folder}, where {giga(free)} GB are free; make "
            f"{giga(lacking)} GB of room there ({giga(SPARE_BYTES)} GB are kept free), or "
            f"{commands.other_folder('a larger disk')}",
            reason="STORAGE",
        )


def drop_leftovers(folder: Path) -> None:
    """Deletes what a killed pull left of huggingface_hub's files: each try has a name of its own, so none resumes them.

    ModelScope's partial files stay, because its library resumes them. Raises `OSError`.
    """
    for path in (folder / ".cache" / "huggingface").rglob("*.????????.incomplete"):
        path.unlink()


def problem(entry: Entry, folder: Path, error: OSError) -> NotReady:
    """The error for a fault of the disk, with what to do."""
    if error.errno in FULL:
        size = f" ({giga(entry.bytes)} GB)" if entry.bytes else ""
        free = giga(shutil.disk_usage(_existing(folder)).free)
        text = (
            f"the disk ran full while {entry.name}{size} was pulled into {folder} ({error.strerror}), where "
            f"{free} GB are free now; make room there, or {commands.other_folder('a larger disk')}"
        )
    elif error.errno in REFUSED:
        there = _existing(Path(str(error.filename)) if error.filename else folder)
        user, owner = os.geteuid(), there.stat().st_uid
        read_only = error.errno == errno.EROFS
        why = "it is mounted read-only" if read_only else f"{there} belongs to user {owner}, and this is user {user}"
        mend = "mount it writable" if read_only else commands.other_owner(folder.parent, user)
        text = f"the weights {entry.name} cannot be written to {folder}: {why}; {mend}, or {commands.other_folder()}"
    else:
        text = (
            f"the weights {entry.name} cannot be written to {folder} ({error.strerror or error}); make it writable, "
            f"or {commands.other_folder()}"
        )
    return NotReady(text, reason="STORAGE")


def disk_fault(error: BaseException) -> OSError | None:
    """The disk's fault behind an error of a library; None if the disk is not at fault."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if isinstance(one, OSError) and (one.errno in FULL or (one.errno in REFUSED and one.filename)):
            return one  # without a file's name it is a connection that was refused
        if any(text in str(one) for text in _FULL_TEXT):
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        one = one.__cause__ or one.__context__
    return None


def bytes_in(folder: Path) -> int:
    """What a folder's files take on the disk; sparse partial files count as written."""
    return sum(_on_disk(path) for path in folder.rglob("*"))


def giga(size: int) -> float:
    """Bytes as GB with two digits."""
    return round(size / 1e9, 2)


def _on_disk(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512 if path.is_file() else 0
    except OSError:  # moved away in this moment
        return 0


def _existing(path: Path) -> Path:
    return next(one for one in (path, *path.parents) if one.exists())
