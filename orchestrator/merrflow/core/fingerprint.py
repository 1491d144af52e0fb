"""Fingerprints: what a result depends on, as one short hash. Same fingerprint, same work: do it once."""

from __future__ import annotations

import errno
import hashlib
import json
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from merrflow.core.measurements import FileState

_ANY = TypeAdapter(Any)


def fingerprint(*parts: Any) -> str:
    """32 hex digits of the parts' canonical JSON. Parts: plain values, dataclasses, tuples, dicts."""
    return plain_fingerprint(_ANY.dump_python(parts, mode="json"))


def plain_fingerprint(parts: Sequence[Any]) -> str:
    """The same of parts that are JSON's own types already, at a tenth of the cost: it is asked for every clip."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def file_sha256(path: Path) -> str:
    """64 hex digits of a file's bytes. Raises `OSError`, also for pipes and devices, which may have no end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_state(path: Path) -> FileState:
    """The state of a file; links are followed. Raises `OSError`."""
    found = path.stat()
    return FileState(found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)


def fraction(*parts: Any) -> float:
    """A number in [0, 1) drawn by hash, so that it is the same in any order and on any machine."""
    return int(fingerprint(*parts)[:13], 16) / 16**13
