"""OpenFace's FeatureExtraction binary: where it is, which version it is, how it is called."""

from __future__ import annotations

import hashlib
import mmap
import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import yaml

from merrflow_serving.errors import NotReady
from merrflow_serving.packaged import file_sha256
from merrflow_serving.prompt_files import Strict

STEPS = (
    "install OpenFace (its licence: academic, non-commercial) and set MERRFLOW_OPENFACE_AU_OPENFACE_BINARY to its "
    "FeatureExtraction or put that on PATH; for a container, deploy/compose/openface.yml with OPENFACE_IMAGE=..."
)


class CommandLine(Strict):
    """`data/openface.yaml`; the comments there explain each field."""

    version: str
    arguments: tuple[str, ...]
    reserved: frozenset[str]
    begins: str
    unopened: tuple[str, ...]
    versions: dict[str, str]
    models: tuple[str, ...]


@cache
def command_line() -> CommandLine:
    """The packaged file."""
    file = resources.files("merrflow_openface_au") / "data" / "openface.yaml"
    return CommandLine.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Binary:
    """A binary that exists and is executable."""

    path: Path  # links followed: OpenFace looks for its models beside the path it is called by
    version: str  # "1" or "2"; "" if its bytes do not say, as with a wrapper script
    revision: str  # its bytes, and its models' names and sizes

    @property
    def model(self) -> str:
        """For `EngineInfo.model`."""
        return f"OpenFace {self.version}".strip()


def find_binary(name: str) -> Binary:
    """Finds the binary by path, or by name on PATH. Cheap: reads it once and lists its models. Raises `NotReady`."""
    found = shutil.which(name) if name else None
    if found is None:
        path = Path(name).expanduser()
        if name and path.is_file():
            found = str(path) if os.access(path, os.X_OK) else None
            if found is None:
                raise NotReady(f"{path} may not be executed; run: chmod +x {path}", reason="MODEL_MISSING")
    if found is None:
        raise NotReady(f"there is no {name or 'FeatureExtraction'}: {STEPS}", reason="MODEL_MISSING")
    path = Path(found).resolve()
    try:
        listing = _models(path)
        models = hashlib.sha256("\n".join(listing).encode(errors="surrogateescape")).hexdigest()
        stat = path.stat()
        version = _version(path, stat.st_size, stat.st_mtime_ns)
        return Binary(path, version, f"sha256:{file_sha256(path)} models:{models[:16] if listing else 'none'}")
    except OSError as error:
        raise NotReady(f"{path} cannot be read: {error.strerror}; {STEPS}", reason="MODEL_MISSING") from error


def extra_arguments(text: str) -> tuple[str, ...]:
    """The setting `openface_arguments`, split as a shell would. Raises `NotReady` for what would break this engine."""
    try:
        arguments = tuple(shlex.split(text))
    except ValueError as error:
        raise NotReady(f"openface_arguments {text!r} cannot be split: {error}", reason="SETTING_INVALID") from error
    for argument in arguments:
        if argument in command_line().reserved:
            raise NotReady(
                f"openface_arguments: {argument} is not yours to set, because the engine itself says what is read "
                "and written; leave it out",
                reason="SETTING_INVALID",
            )
    return arguments


def command(binary: Path, extra: Sequence[str], out_dir: Path, clips: Sequence[Path]) -> list[str]:
    """The command for these clips, whose results will be `out_dir`/<stem>.csv.

    It must run in `out_dir`: the old command line writes -of relative to it, the newer one relative to -out_dir.
    """
    call = [str(binary), *command_line().arguments, *extra, "-out_dir", str(out_dir)]
    for clip in clips:
        call += ["-f", str(clip), "-of", f"{clip.stem}.csv"]
    return call


@cache
def _version(path: Path, size: int, mtime_ns: int) -> str:
    if size == 0:
        return ""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for version, text in command_line().versions.items():
            if content.find(text.encode()) >= 0:
                return version
    return ""


def _models(binary: Path) -> list[str]:
    """Names and sizes of all model files, sorted: hundreds of megabytes, too many to hash at each start."""
    found = []
    for name in command_line().models:
        folder = Path(os.path.normpath(binary.parent / name))
        for place, folders, files in os.walk(folder):
            folders.sort()
            found += [
                f"{(Path(place) / file).relative_to(folder.parent)} {(Path(place) / file).stat().st_size}"
                for file in sorted(files)
            ]
    return found
