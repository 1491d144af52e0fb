"""Where an entry's files are, and what is in them."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from merrflow_serving.errors import InvalidInput, NotReady
from merrflow_serving.weights import steps
from merrflow_serving.weights.entries import Entry, entry
from merrflow_serving.weights.manifest import read_manifest
from merrflow_serving.weights.places import WeightSettings
from merrflow_serving.weights.usable import check_usable
from merrflow_serving.weights.whole import check, missing_files, wanted_files

SAMPLES = 64  # pieces of each file that a revision without a hub's commit is told from
SAMPLE_BYTES = 4096


def folder_of(name: str, settings: WeightSettings) -> Path:
    """The folder that holds the entry, or would.

    A folder from the settings may hold one entry's files, or a folder for each entry, named as the entry.
    """
    found = entry(name)
    if not settings.weights:
        return Path(settings.models_dir) / found.name
    folder = Path(settings.weights).expanduser()
    return folder / found.name if (folder / found.name).is_dir() else folder


def locate(name: str, settings: WeightSettings) -> Path:
    """The folder with the entry's files, all there, of the right size and sha256 where these are known.

    name: an entry of weights.yaml, or "organisation/name[@revision]" for any causal language model on the hub.
    Files that lack below `models_dir` are pulled unless the settings say `offline`; a folder of the user's own is never
    written to. Before gigabytes are read or pulled, the packages and the device that they are for are looked for.
    Raises `NotReady` with the steps to take.
    """
    found = _entry(name)
    check_usable(found, settings)
    folder = folder_of(name, settings)
    result = check(found, folder, Path(settings.models_dir))
    if result.whole:
        return folder
    if settings.weights:
        raise NotReady(steps.own_folder(found, folder, result), reason=result.reason)
    if result.damaged:
        raise NotReady(steps.damaged(found, folder, result), reason=result.reason)
    if settings.offline or not found.repositories.get(settings.hub):
        raise NotReady(steps.absent(found, folder, settings, result), reason=result.reason)
    from merrflow_serving.weights.pull import pull

    pull(found, settings)
    return folder


def revision(name: str, settings: WeightSettings) -> str:
    """What identifies the weights, without loading or hashing them whole; "" where they are absent.

    The hub's commit where they were pulled and are as they were; else "sampled:" and 16 hex digits that stand for
    the files' names, sizes and 64 pieces of each, evenly spread: other weights differ in them everywhere, and the same
    files give the same digits on every machine.
    """
    try:
        found = entry(name)
    except InvalidInput:
        return ""
    folder = folder_of(name, settings)
    if missing_files(found, folder):
        return ""
    files = wanted_files(found, folder)
    manifest = read_manifest(folder)
    sampled = sample(folder, files)
    if manifest.revision and manifest.sampled == sampled:
        return manifest.revision
    return f"sampled:{sampled}"


def sample(folder: Path, files: list[Path]) -> str:
    """16 hex digits for the files' names, sizes and pieces."""
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


def _entry(name: str) -> Entry:
    try:
        return entry(name)
    except InvalidInput as error:
        raise NotReady(str(error), reason="MODEL_MISSING") from error
