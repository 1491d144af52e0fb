"""`merrflow.json` beside pulled files: where they came from, and each file's size and sha256 as it was then."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from merrflow_serving.weights.atomic import write_whole

NAME = "merrflow.json"


@dataclass(frozen=True)
class FileRecord:
    """One file as it was when it was last read whole."""

    size: int
    sha256: str
    mtime_ns: int = 0  # a file that still has it is not read again


@dataclass(frozen=True)
class Manifest:
    """What a pull left behind. Empty where there was none."""

    entry: str = ""
    hub: str = ""
    repository: str = ""
    revision: str = ""  # the commit
    sampled: str = ""  # of `locate.sample`: tells cheaply whether the files are still those
    files: Mapping[str, FileRecord] = field(default_factory=dict)

    def with_file(self, name: str, record: FileRecord) -> Manifest:
        return replace(self, files={**self.files, name: record})


def read_manifest(folder: Path) -> Manifest:
    """The folder's manifest; an empty one where there is none or it cannot be read."""
    try:
        document = json.loads((folder / NAME).read_text(encoding="utf-8"))
        files = {name: FileRecord(**record) for name, record in document.pop("files").items()}
        document.pop("version", None)
        return Manifest(files=files, **document)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Manifest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Whole or not at all. Raises `OSError`."""
    write_whole(folder / NAME, json.dumps({"version": 1} | asdict(manifest), indent=1).encode())
