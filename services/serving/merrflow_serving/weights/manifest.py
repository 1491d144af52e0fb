"""`merrflow.json` beside pulled files: where they came from, and each file's size and sha256 as it was then."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

NAME = "merrflow.json"
SAMPLES = 64  # pieces of each file from which a revision is computed if no hub names a commit
SAMPLE_BYTES = 4096


@dataclass(frozen=True)
class FileRecord:
    """One file as it was when it was last read whole."""

    size: int
    sha256: str
    mtime_ns: int = 0

    def is_still(self, path: Path) -> bool:
        """Whether the file has kept size and time, so that it need not be read again."""
        stat = path.stat()
        return (self.size, self.mtime_ns) == (stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True)
class Manifest:
    """What a pull left behind. Empty if there was none."""

    entry: str = ""
    hub: str = ""
    repository: str = ""
    revision: str = ""  # the commit
    sampled: str = ""  # `sample` of the files: shows cheaply whether they are still those
    files: Mapping[str, FileRecord] = Field(default_factory=dict)

    def with_file(self, name: str, record: FileRecord) -> Manifest:
        return replace(self, files={**self.files, name: record})


def read_manifest(folder: Path) -> Manifest:
    """The folder's manifest; an empty one if there is none or it cannot be read."""
    try:
        return TypeAdapter(Manifest).validate_json((folder / NAME).read_bytes())
    except (OSError, ValueError):
        return Manifest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replaces the folder's manifest, or leaves it as it was. Raises `OSError`."""
    handle, partial = tempfile.mkstemp(dir=folder, prefix=f".{NAME}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"version": 1} | asdict(manifest), file, indent=1)
        os.chmod(partial, 0o644)  # mkstemp's own mode would keep other users of a shared folder out
        os.replace(partial, folder / NAME)
    except BaseException:
        os.unlink(partial)
        raise


def read_whole(path: Path) -> FileRecord:
    """The file's size, sha256 and time. Reads all of it. Raises `OSError`."""
    stat = path.stat()
    with path.open("rb") as file:
        return FileRecord(stat.st_size, hashlib.file_digest(file, "sha256").hexdigest(), stat.st_mtime_ns)


def sample(folder: Path, files: list[Path]) -> str:
    """16 hexadecimal digits for the files' names, sizes and 64 pieces of each, evenly spread."""
    digest = hashlib.sha256()
    for file in sorted(files):
        stat = file.stat()
        digest.update(f"{file.relative_to(folder)}\0{stat.st_size}\0".encode())
        digest.update(_pieces(file, stat.st_size, stat.st_mtime_ns))
    return digest.hexdigest()[:16]


@cache
def _pieces(file: Path, size: int, mtime_ns: int) -> bytes:
    digest = hashlib.sha256()
    with file.open("rb") as data:
        if size <= SAMPLES * SAMPLE_BYTES:
            digest.update(data.read())
        else:
            for number in range(SAMPLES):
                data.seek(number * (size - SAMPLE_BYTES) // (SAMPLES - 1))
                digest.update(data.read(SAMPLE_BYTES))
    return digest.digest()
