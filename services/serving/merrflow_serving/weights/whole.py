"""Whether an entry's files are there and whole."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from merrflow_serving.errors import NotReady
from merrflow_serving.weights import progress
from merrflow_serving.weights.entries import Entry, WeightFile
from merrflow_serving.weights.manifest import NAME, FileRecord, Manifest, read_manifest, write_manifest
from merrflow_serving.weights.tensorfiles import BASE, read_header, safetensors_files

log = structlog.get_logger()
LARGE = 1 << 30  # bytes that take long enough to be told


@dataclass(frozen=True)
class Check:
    """What was found. `whole` where nothing lacks and nothing is damaged."""

    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()  # sentences that begin with the file's name
    read: int = 0  # files that were hashed for it

    @property
    def whole(self) -> bool:
        return not self.missing and not self.damaged

    @property
    def reason(self) -> str:
        return "MODEL_DAMAGED" if self.damaged else "MODEL_MISSING"


def wanted_files(entry: Entry, folder: Path) -> list[Path]:
    """The files of the entry: as listed; or, where only the repository knows them, those that are there."""
    found = [folder / file.name for file in entry.files if file.needed or (folder / file.name).is_file()]
    if entry.patterns and folder.is_dir():
        names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        found += [folder / name for name in sorted(names) if name != NAME and entry.wants(name)]
    return list(dict.fromkeys(found))


def check(entry: Entry, folder: Path, store: Path, *, deep: bool = False) -> Check:
    """Holds the folder against the entry's sizes and sha256, the manifest's, and the files' own headers.

    A file is hashed where a sha256 is known and it changed since it was last read whole; `deep`: in any case.
    store: where it is remembered that files of a folder which is not ours were read.
    """
    missing = missing_files(entry, folder)
    damaged: list[str] = []
    ours = folder.parent == store
    memory = store / ".checked" / hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:24]
    manifest = read_manifest(folder)
    seen = manifest if ours else read_manifest(memory)
    known = {file.name: file for file in entry.files}
    read = 0
    for path in wanted_files(entry, folder):
        if not path.is_file():
            continue
        name = path.relative_to(folder).as_posix()
        expected = _expected(known.get(name, WeightFile(name)), manifest)
        size = path.stat().st_size
        if expected.size is not None and size != expected.size:
            damaged.append(f"{name} has {size} bytes instead of {expected.size}")
            continue
        fault = _header_fault(path)
        if fault:
            damaged.append(fault)
            continue
        record, hashed = _record(path, seen.files.get(name), expected, deep)
        read += hashed
        if record and expected.sha256 and record.sha256 != expected.sha256:
            damaged.append(
                f"{name} has sha256 {record.sha256[:16]}... instead of {expected.sha256[:16]}...: another revision, or "
                "damaged"
            )
        elif record and hashed:
            seen = seen.with_file(name, record)
    if read:
        _remember(folder if ours else memory, seen)
    return Check(tuple(dict.fromkeys(missing)), tuple(damaged), read)


def missing_files(entry: Entry, folder: Path) -> list[str]:
    """What the entry cannot do without and the folder has not; told by names and the index of shards alone."""
    missing = [file.name for file in entry.files if file.needed and not (folder / file.name).is_file()]
    if not entry.patterns:
        return missing
    if not (folder / "config.json").is_file():
        missing.append("config.json")
    kinds = [kind for kind, base in BASE.items() if entry.wants(f"{base}.{kind}")]
    try:
        if not any(safetensors_files(folder, kind) for kind in kinds):
            missing.append(" or ".join(f"{BASE[kind]}.{kind}" for kind in kinds))
    except NotReady as error:
        missing.append(str(error))
    return list(dict.fromkeys(missing))


def _expected(file: WeightFile, manifest: Manifest) -> WeightFile:
    """What the table says; where it says nothing, what was recorded at the pull."""
    record = manifest.files.get(file.name)
    if record is None:
        return file
    return replace(
        file,
        size=record.size if file.size is None else file.size,
        sha256=file.sha256 or record.sha256,
    )


def _record(path: Path, seen: FileRecord | None, expected: WeightFile, deep: bool) -> tuple[FileRecord | None, bool]:
    """The file's sha256, from memory where it did not change, and whether it was read. None: nobody needs it."""
    stat = path.stat()
    if not deep:
        if seen and (seen.size, seen.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            return seen, False
        if not expected.sha256:
            return None, False
    if stat.st_size > LARGE:
        log.info("reading a file of weights whole, to check its sha256", file=str(path))
    with progress.step(f"reading {path.name} whole, to check its sha256"), path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileRecord(stat.st_size, digest, stat.st_mtime_ns), True


def _header_fault(path: Path) -> str:
    """What a file's own structure says of its being whole; "" where it is, or says nothing."""
    if path.suffix == ".safetensors":
        try:
            read_header(path)
        except NotReady as error:
            return str(error)
    if path.suffix in (".pth", ".bin", ".pt") and _is_cut_zip(path):
        return f"{path.name} is cut short: the end of the archive lacks"
    return ""


def _is_cut_zip(path: Path) -> bool:
    with path.open("rb") as file:
        begins = file.read(4) == b"PK\x03\x04"
    return begins and not zipfile.is_zipfile(path)


def _remember(folder: Path, manifest: Manifest) -> None:
    """Best effort: where it cannot be written, the files are read again at the next start."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_manifest(folder, manifest)
    except OSError:
        pass
