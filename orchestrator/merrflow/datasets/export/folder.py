"""A folder that is replaced as a whole: a reader sees the old one or the new one, also after `kill -9`.

The new folder is written beside the old one and then takes its name. A list of its files, `.merrflow-export.json`,
marks a folder that was written here; any other is never replaced.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from merrflow.core.atomic_files import sync_folder
from merrflow.core.errors import InputError, unwritable
from merrflow.core.paths import expanded

LIST = ".merrflow-export.json"
_HASHED = 1 << 20  # bytes; of larger files only the size is compared
Mark = list[int | str | None]  # size, and hash or None
_AT_CWD, _RENAME_EXCHANGE = -100, 2  # renameat2(2)


@contextmanager
def whole_folder(target: Path, kind: str) -> Iterator[Path]:
    """An empty folder for writing that becomes `target` when the block ends well.

    kind: what is written, for the list of files. Raises `InputError` if `target` holds something that was not
    written here or was changed since, if another export to it is running, or if nothing can be written there, and
    `OutputsGone` if the disk is full or fails.
    """
    target = expanded(target).resolve()
    if not target.name:
        raise InputError(f"{target}: cannot be replaced as a whole; choose another folder")
    part = target.with_name(f".{target.name}.part")
    old = target.with_name(f".{target.name}.old")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if old.exists() and not target.exists():  # the process was killed between two renames
                old.rename(target)
            _check(target)
            for left in (part, old):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            part.mkdir()
            try:
                yield part
                _write_list(part, kind)
                os.sync()
                _check(target)
                _swap(part, target, old)
                sync_folder(target.parent)
            finally:
                shutil.rmtree(part, ignore_errors=True)
                if target.exists():
                    shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        hint = "what was there is still whole. Make room, or choose another folder"
        raise unwritable(target, error, hint) from error


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    try:
        with FileLock(target.with_name(f".{target.name}.lock"), timeout=0):
            yield
    except Timeout:
        raise InputError(f"{target}: another export is writing there; wait for it") from None


def _check(target: Path) -> None:
    """Raises `InputError` unless `target` may be replaced."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    hint = "move it away, or choose another folder"
    listed = _listed(target)
    if listed is None:
        raise InputError(f"{target}: is there already and was not written by merrflow export; {hint}")
    for path in _files(target):
        if path not in listed:
            raise InputError(f"{target / path}: was not written by merrflow export and would be lost; {hint}")
        if listed[path] != _mark(target / path):
            raise InputError(f"{target / path}: was changed since it was exported, which would be lost; {hint}")


def _listed(folder: Path) -> dict[str, Mark] | None:
    """What the folder's own list says; None if it has none."""
    try:
        listed = json.loads((folder / LIST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return listed if isinstance(listed, dict) else None


def _write_list(folder: Path, kind: str) -> None:
    marks = {path: _mark(folder / path) for path in _files(folder)}
    text = json.dumps({"written_by": "merrflow export", "format": kind, "files": marks}, ensure_ascii=False, indent=1)
    (folder / LIST).write_text(text + "\n", encoding="utf-8")


def _files(folder: Path) -> list[str]:
    """Paths of all files in the folder but its list, sorted."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(path for path in found if path != LIST)


def _mark(path: Path) -> Mark:
    """Size in bytes, and SHA-256 in hex of files that are not large."""
    size = path.stat().st_size
    return [size, hashlib.sha256(path.read_bytes()).hexdigest() if size <= _HASHED else None]


def _swap(new: Path, target: Path, old: Path) -> None:
    if not target.exists():
        new.rename(target)
    elif not _exchange(new, target):  # not on this system: for a moment there is neither, and `old` to go back to
        target.rename(old)
        new.rename(target)


def _exchange(one: Path, other: Path) -> bool:
    """Lets two folders change places at once. False if the system cannot (not Linux, some file systems)."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    failed: int = renameat2(_AT_CWD, os.fsencode(one), _AT_CWD, os.fsencode(other), _RENAME_EXCHANGE)
    return not failed
