"""Takes in files that a person downloaded, of weights that are on no hub."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from merrflow_serving.errors import InvalidInput
from merrflow_serving.weights import storage
from merrflow_serving.weights.entries import Entry, entries
from merrflow_serving.weights.files import structural_fault
from merrflow_serving.weights.places import WeightSettings


def add(file: Path, settings: WeightSettings, source: BinaryIO | None = None) -> Path:
    """Copies `file` into the folder of the entry that has a file of that name, whole or not at all.

    source: what to read instead of `file`, which then gives its name alone.
    Returns its new path. Raises `InvalidInput` if no entry has one or it cannot be read, `NotReady` if the disk
    is full or refuses.
    """
    entry = _entry_of(file.name)
    if source is None and not file.is_file():
        raise InvalidInput(f"{file}: this is not a file")
    folder = settings.models_dir / entry.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        storage.need_room(entry.name, folder, entry.bytes if source else file.stat().st_size)
        handle, partial = tempfile.mkstemp(dir=folder, prefix=f".{file.name}.")
    except OSError as error:
        raise storage.problem(entry, folder, error) from error
    try:
        with os.fdopen(handle, "wb") as copy:
            _copy(file, source, copy.fileno())
        if fault := structural_fault(Path(partial), file.name):
            raise InvalidInput(f"{fault}; download it again")
        os.chmod(partial, 0o644)  # mkstemp's own mode would keep other users of a shared folder out
        os.replace(partial, folder / file.name)
    except BaseException as error:
        os.unlink(partial)
        if isinstance(error, OSError):
            raise storage.problem(entry, folder, error) from error
        raise
    return folder / file.name


def _entry_of(name: str) -> Entry:
    by_hand = [one for one in entries().values() if one.steps]
    for one in by_hand:
        if any(known.name == name for known in one.files):
            return one
    names = ", ".join(known.name for one in by_hand for known in one.files)
    raise InvalidInput(f"{name!r} is no file of weights that are on no hub; those files are: {names}")


def _copy(file: Path, source: BinaryIO | None, into: int) -> None:
    try:
        given = nullcontext(source) if source else file.open("rb")
    except OSError as error:
        raise InvalidInput(f"{file}: cannot be read ({error.strerror or error})") from error
    with given as content, os.fdopen(os.dup(into), "wb") as target:
        shutil.copyfileobj(content, target, 1 << 22)
        if not target.tell():
            raise InvalidInput(f"{file}: nothing came of it on standard input" if source else f"{file}: it is empty")
