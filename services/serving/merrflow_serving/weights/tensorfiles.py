"""Safetensors: which files a folder has, whether they are whole, and their tensors by name, read as they are asked for.

The format: 8 bytes with the header's length (little endian), the header (JSON: name -> dtype, shape, data_offsets;
`__metadata__` holds strings), then the data without gaps (huggingface/safetensors, "Format").
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merrflow_serving.errors import NotReady

if TYPE_CHECKING:
    import torch

MAX_HEADER = 100 << 20  # as the library itself
SHARED = "merrflow.shared"  # metadata: JSON of names that are another tensor's second name
BASE = {"safetensors": "model", "bin": "pytorch_model"}


def damaged(path: Path, why: str) -> NotReady:
    """What to say of a file that cannot be used as it is."""
    return NotReady(
        f"{path} is damaged or cut short ({why}); delete it and get it again: merrflow models pull",
        reason="MODEL_DAMAGED",
    )


def read_header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, once the file is known to be as long as the header says.

    Raises `NotReady`.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(MAX_HEADER, size - 8):
                raise damaged(path, f"{size} bytes, and no room for its header")
            header = json.loads(file.read(length))
    except OSError as error:
        raise NotReady(f"{path} cannot be read: {error.strerror}", reason="MODEL_MISSING") from error
    except ValueError as error:
        raise damaged(path, "its header is not JSON") from error
    try:
        data = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
        expected = 8 + length + int(data)
    except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:
        raise damaged(path, "its header is not one of safetensors") from error
    if size != expected:
        raise damaged(path, f"{size} bytes instead of {expected}")
    return header


def safetensors_files(folder: Path, kind: str) -> dict[Path, frozenset[str] | None] | None:
    """The files of a Hugging Face folder, and which keys its index expects in each (None: no index).

    kind: "safetensors" or "bin". None where the folder has none of the kind. Raises `NotReady` where the index names
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
            f"{folder} lacks {', '.join(absent)} of {len(shards)} shards; get them again: merrflow models pull",
            reason="MODEL_MISSING",
        )
    return {folder / name: frozenset(keys) for name, keys in sorted(shards.items())}


def _second_names(path: Path, header: dict[str, Any]) -> dict[str, str]:
    """Takes the metadata out of the header: the names in it that are another tensor's second name."""
    metadata = header.pop("__metadata__", {})
    try:
        shared = dict(json.loads(metadata.get(SHARED, "{}")))
    except (ValueError, TypeError, AttributeError) as error:
        raise damaged(path, "its metadata are not those of safetensors") from error
    if not shared.keys().isdisjoint(header) or not all(same in header for same in shared.values()):
        raise damaged(path, "its metadata name tensors that are not there")
    return shared


def _shape(path: Path, key: str, entry: dict[str, Any]) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in entry["shape"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, f"{key} has no shape") from error


class Tensors(Mapping[str, "torch.Tensor"]):
    """The tensors of one or more safetensors files. A tensor is read (mapped) when it is asked for, and not kept."""

    def __init__(self, files: Mapping[Path, tuple[Path, frozenset[str] | None]]) -> None:
        """files: what to open -> the file it stands for in errors, and the keys that must be in it (None: any).

        Raises `NotReady` for damaged files, keys that an index promises and no file has, and keys in two files.
        """
        self._place: dict[str, Path] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._same: dict[str, str] = {}
        self._open: dict[Path, Any] = {}
        for path, (original, expected) in files.items():
            header = read_header(path)
            shared = _second_names(path, header)
            keys = header.keys() | shared.keys()
            if expected is not None and expected - keys:
                lost = sorted(expected - keys)
                raise NotReady(
                    f"{original} lacks {', '.join(lost[:12])}, which the index of its folder says it holds",
                    reason="MODEL_MISMATCH",
                )
            double = sorted(keys & self._place.keys())
            if double:
                raise NotReady(f"{original} repeats {', '.join(double[:12])} of another file", reason="MODEL_MISMATCH")
            for key, entry in header.items():
                self._place[key], self._shapes[key] = path, _shape(path, key, entry)
            for key, same in shared.items():
                self._place[key], self._shapes[key], self._same[key] = path, self._shapes[same], same

    def __getitem__(self, key: str) -> torch.Tensor:
        from safetensors import SafetensorError, safe_open

        path = self._place[key]
        try:
            if path not in self._open:
                self._open[path] = safe_open(path, framework="pt", device="cpu")
            return self._open[path].get_tensor(self._same.get(key, key))
        except (SafetensorError, OSError) as error:
            raise damaged(path, str(error)) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)

    def shape(self, key: str) -> tuple[int, ...]:
        """From the header, without reading the tensor."""
        return self._shapes[key]

    def same_as(self, key: str) -> str:
        """The first name of a tensor that has several (tied weights); its own name else."""
        return self._same.get(key, key)
