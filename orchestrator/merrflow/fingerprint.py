"""Fingerprints: what a result depends on, as one short hash. Same fingerprint, same work: do it once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

_ANY = TypeAdapter(Any)


def fingerprint(*parts: Any) -> str:
    """32 hex digits of the parts' canonical JSON. Parts: plain values, dataclasses, tuples, dicts."""
    text = json.dumps(_ANY.dump_python(parts, mode="json"), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def file_sha256(path: Path) -> str:
    """64 hex digits of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fraction(*parts: Any) -> float:
    """A number in [0, 1) drawn by hash, so that it is the same in any order and on any machine."""
    return int(fingerprint(*parts)[:13], 16) / 16**13
