"""Which files of tensors a folder has, and whether a safetensors file is whole. Needs neither torch nor safetensors.

The format: 8 bytes with the header's length (little endian), the header (JSON: name -> dtype, shape, data_offsets;
`__metadata__` holds strings), then the data without gaps (huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from merrflow_serving import commands
from merrflow_serving.errors import NotReady

MAX_HEADER = 100 << 20  # as the library itself
BASE = {"safetensors": "model", "bin": "pytorch_model"}


def damaged(path: Path, why: str) -> NotReady:
    """The error for a file that cannot be used as it is."""
    return NotReady(
        f"{path} is damaged or cut short ({why}); delete it and get it again: {commands.models('pull')}",
        reason="MODEL_DAMAGED",
    )


def check_header(path: Path) -> None:
    """Raises `NotReady` if a safetensors file has no header, or is not as long as its header says."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(MAX_HEADER, size - 8):
                raise damaged(path, f"{size} bytes, and no room for its header")
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        expected = 8 + length + int(max(ends, default=0))
    except OSError as error:
        raise NotReady(f"{path} cannot be read: {error.strerror}", reason="MODEL_MISSING") from error
    except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
        raise damaged(path, "its header is not one of safetensors") from error
    if size != expected:
        raise damaged(path, f"{size} bytes instead of {expected}")


def files_of_kind(folder: Path, kind: str) -> dict[Path, frozenset[str] | None] | None:
    """The files of a Hugging Face folder, and which keys its index expects in each (None: no index).

    kind: "safetensors" or "bin". None if the folder has none of the kind. Raises `NotReady` if the index names
    a file that is not there, or anything but a file of this folder.
    """
    single = folder / f"{BASE[kind]}.{kind}"
    index = folder / f"{BASE[kind]}.{kind}.index.json"
    if not index.is_file():
        return {single: None} if single.is_file() else None
    try:
        placed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards: dict[str, set[str]] = {}
        for key, name in placed.items():
            shards.setdefault(name, set()).add(key)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(index, "it is not an index of shards") from error
    wrong = [name for name in shards if not isinstance(name, str) or not name or os.path.basename(name) != name]
    if wrong or not shards:
        raise damaged(index, f"it names {wrong[0]!r}" if wrong else "it names no file")
    absent = sorted(name for name in shards if not (folder / name).is_file())
    if absent:
        raise NotReady(
            f"{folder} lacks {', '.join(absent)} of {len(shards)} shards; get them again: {commands.models('pull')}",
            reason="MODEL_MISSING",
        )
    return {folder / name: frozenset(keys) for name, keys in sorted(shards.items())}
