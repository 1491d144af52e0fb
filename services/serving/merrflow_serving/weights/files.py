"""The files of an entry in a folder: which they are, and whether they are whole."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from merrflow_serving.errors import NotReady
from merrflow_serving.weights import progress
from merrflow_serving.weights.entries import Entry, WeightFile
from merrflow_serving.weights.manifest import NAME, FileRecord, Manifest, read_manifest, read_whole, write_manifest
from merrflow_serving.weights.tensorfiles import BASE, check_header, files_of_kind

log = structlog.get_logger()
LONGEST_BEGIN = 16  # bytes, for a message
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"  # of torch 1.6 and newer, and of older ones
LARGE = 1 << 30  # bytes that take long enough to be logged


@dataclass(frozen=True)
class Check:
    """What was found. `whole` if nothing is missing, broken or different."""

    missing: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()  # by a file's own structure, whatever it should be; sentences that begin with its name
    different: tuple[str, ...] = ()  # from the sizes and sha256 that are known; the same
    unreadable: tuple[str, ...] = ()  # what the system does not give; nothing else is known of it; the same
    read: int = 0  # files that were hashed for it

    @property
    def damaged(self) -> tuple[str, ...]:
        """Files that are not what they should be: sentences that begin with the file's name."""
        return self.broken + self.different

    @property
    def whole(self) -> bool:
        return not (self.missing or self.damaged or self.unreadable)

    @property
    def reason(self) -> str:
        return "MODEL_DAMAGED" if self.damaged else "MODEL_UNREADABLE" if self.unreadable else "MODEL_MISSING"


def wanted_files(entry: Entry, folder: Path) -> list[Path]:
    """The files of the entry: as listed; or, if only the repository knows them, those that are there."""
    found = [folder / file.name for file in entry.files if file.needed or (folder / file.name).is_file()]
    if entry.patterns and folder.is_dir():
        names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        found += [folder / name for name in sorted(names) if name != NAME and entry.wants(name)]
        found += _in_an_index(folder)
    return list(dict.fromkeys(found))


def _in_an_index(folder: Path) -> list[Path]:
    """The shards that an index names, whatever they are called."""
    found: list[Path] = []
    for kind in BASE:
        with suppress(NotReady):  # `missing_files` says which are not there
            found += files_of_kind(folder, kind) or ()
    return found


def bytes_of(files: Iterable[Path]) -> int:
    """The size of those that are there."""
    return sum(path.stat().st_size for path in files if path.is_file())


def missing_files(entry: Entry, folder: Path) -> list[str]:
    """What the entry needs and the folder does not have, by names and the index of shards alone."""
    missing = [file.name for file in entry.files if file.needed and not (folder / file.name).is_file()]
    if not entry.patterns:
        return missing
    if not (folder / "config.json").is_file():
        missing.append("config.json")
    kinds = [kind for kind, base in BASE.items() if entry.wants(f"{base}.{kind}")]
    try:
        if not any(files_of_kind(folder, kind) for kind in kinds):
            missing.append(" or ".join(f"{BASE[kind]}.{kind}" for kind in kinds))
    except NotReady as error:
        missing.append(str(error))
    return list(dict.fromkeys(missing))


def check(entry: Entry, folder: Path, store: Path, *, deep: bool = False) -> Check:
    """Compares the folder with the entry's sizes and sha256, the manifest's, and the files' own headers.

    A file is hashed if a sha256 is known and it changed since it was last read whole; with `deep` in any case.
    store: the models' folder, which remembers the files of another folder that were read. Raises nothing: what cannot
    be read is `unreadable`.
    """
    try:
        return _check(entry, folder, store, deep=deep)
    except OSError as error:  # of the folder, or of a name in it
        return Check(unreadable=(_refusal(folder, error),))


def _check(entry: Entry, folder: Path, store: Path, *, deep: bool) -> Check:
    ours = folder.parent == store
    memory = store / ".checked" / hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:24]
    manifest = read_manifest(folder)
    seen = manifest if ours else read_manifest(memory)
    known = {file.name: file for file in entry.files}
    broken: list[str] = []
    different: list[str] = []
    unreadable: list[str] = []
    read = 0
    for path in filter(Path.is_file, wanted_files(entry, folder)):
        name = path.relative_to(folder).as_posix()
        expected = expected_file(known.get(name, WeightFile(name)), manifest)
        try:
            path.open("rb").close()  # every file, also those of which nothing is compared
            fault = fault_of(expected, path.stat().st_size)
            if structural := structural_fault(path, path.name):
                broken.append(fault or structural)
                continue
            record = seen.files.get(name)
            if not fault and (deep or not (record and record.is_still(path))):
                record = _read(path) if deep or expected.sha256 else None
                read += record is not None
            if not fault and record:
                fault = fault_of(expected, record.size, record.sha256)
        except OSError as error:
            unreadable.append(_refusal(path, error))
            continue
        if fault:
            different.append(fault)
        elif record:
            seen = seen.with_file(name, record)
    if read:
        _remember(folder if ours else memory, seen)
    return Check(tuple(missing_files(entry, folder)), tuple(broken), tuple(different), tuple(unreadable), read)


def _refusal(path: Path, error: OSError) -> str:
    return f"{Path(str(error.filename or path)).name}: {error.strerror or error}"


def expected_file(file: WeightFile, manifest: Manifest) -> WeightFile:
    """The file with the size and sha256 that the pull recorded, if its own are not known."""
    record = manifest.files.get(file.name)
    if record is None:
        return file
    size = record.size if file.size is None else file.size
    return replace(file, size=size, sha256=file.sha256 or record.sha256)


def fault_of(expected: WeightFile, size: int, sha256: str = "") -> str:
    """How a file of this size and sha256 ("": not computed) differs from what is expected of it; "" if it does not."""
    if expected.size not in (None, size):
        return f"{expected.name} has {size} bytes instead of {expected.size}"
    if sha256 and expected.sha256 not in ("", sha256):
        return (
            f"{expected.name} has sha256 {sha256[:16]}... instead of {expected.sha256[:16]}...: another revision, or "
            "damaged"
        )
    return ""


def _read(path: Path) -> FileRecord:
    if path.stat().st_size > LARGE:
        log.info("reading a file of weights whole, to check its sha256", file=str(path))
    with progress.step(f"reading {path.name} whole, to check its sha256"):
        return read_whole(path)


def structural_fault(path: Path, name: str) -> str:
    """What a file's own structure says against its being whole; "" if nothing. name: what it is, or will be, called."""
    suffix = Path(name).suffix
    if suffix == ".safetensors":
        try:
            check_header(path)
        except NotReady as error:
            return str(error)
    if suffix in (".pth", ".bin", ".pt"):
        with path.open("rb") as file:
            begin = file.read(LONGEST_BEGIN)
        if begin.startswith(_ZIP) and not zipfile.is_zipfile(path):
            return f"{name} is cut short: the end of the archive is missing"
        # Another may be the page that a site sends instead of the file.
        if not (begin.startswith((_ZIP, _PICKLE)) or _is_ctranslate2(begin)):
            return f"{name} is no file of torch's or CTranslate2's: it begins with {begin.decode('latin-1')!r}"
    return ""


def _is_ctranslate2(begin: bytes) -> bool:
    """Whether a `model.bin` may begin so: with the number of its format, 6 at the time of writing, in four bytes."""
    return 0 < int.from_bytes(begin[:4], "little") < 100


def _remember(folder: Path, manifest: Manifest) -> None:
    """Best effort: if it cannot be written, the files are read again at the next start."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_manifest(folder, manifest)
    except OSError:
        pass
