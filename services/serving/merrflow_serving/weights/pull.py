"""Getting weights from a hub: only the files that are needed, resumable, checked, and by one process at a time."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import structlog

from merrflow_serving.errors import NotReady
from merrflow_serving.weights import progress, steps, storage
from merrflow_serving.weights.entries import Entry, Repository, WeightFile, is_plain
from merrflow_serving.weights.hubs import HubClient, Listing, RemoteFile, client
from merrflow_serving.weights.locate import sample
from merrflow_serving.weights.manifest import FileRecord, Manifest, read_manifest, write_manifest
from merrflow_serving.weights.places import WeightSettings
from merrflow_serving.weights.storage import bytes_in, giga
from merrflow_serving.weights.whole import check, wanted_files

log = structlog.get_logger()
ATTEMPTS = 3  # for each file; every one goes on where the last stopped
TICK_SECONDS = 1.0  # between looks at what has come
PICKLED = (".bin", ".bin.index.json")


def pull(entry: Entry, settings: WeightSettings, *, report_seconds: float = 15.0) -> Path:
    """The entry's folder below models_dir, whole. Files that are there and right are not fetched again.

    Two processes may ask at once: one pulls, the other waits and finds the files. A pull that is cut off goes on
    where it was. report_seconds: how often progress is logged.
    Raises `NotReady`: no hub has it, gated, no network, no room, or the hub's files are not those of the table.
    """
    from filelock import FileLock, Timeout

    place = entry.repositories.get(settings.hub)
    folder = Path(settings.models_dir) / entry.name
    if place is None:
        raise NotReady(
            f"{entry.name} is not on {settings.hub}. To get it: "
            f"{steps.numbered(steps.to_get(entry, folder, settings.hub))}",
            reason="MODEL_MISSING",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        locks = Path(settings.models_dir) / ".locks"
        locks.mkdir(exist_ok=True)
        lock = FileLock(locks / f"{entry.name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log.info("another process pulls these weights; waiting for it", weights=entry.name)
            with progress.step(f"waiting for another process that pulls {entry.name}"):
                lock.acquire()
        try:
            if check(entry, folder, Path(settings.models_dir)).whole and read_manifest(folder).revision:
                return folder
            _pull(entry, place, settings, folder, report_seconds)
        finally:
            lock.release()
    except OSError as error:
        raise storage.problem(entry, folder, error) from error
    return folder


def _pull(entry: Entry, place: Repository, settings: WeightSettings, folder: Path, report_seconds: float) -> None:
    hub = client(settings.hub)
    with progress.step(f"asking {settings.hub} for the files of {place.id}"):
        listing = hub.list(entry, place)
    wanted = choose(entry, place, listing)
    manifest = read_manifest(folder)
    records: dict[str, FileRecord] = {}
    to_fetch = []
    for file in wanted:
        record = _present(folder / file.name, file, manifest.files.get(file.name))
        if record:
            records[file.name] = record
        else:
            to_fetch.append(file)
    total = sum(file.size or 0 for file in to_fetch) or entry.bytes
    storage.need_room(entry, folder, total)
    log.info("pulling weights", weights=entry.name, source=place.id, files=len(to_fetch), gigabytes=giga(total))
    with _progress(entry, folder, total, report_seconds):
        for file in to_fetch:
            records[file.name] = _fetch(hub, entry, place, listing, file, folder)
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the libraries' own notes on partial files
    found = Manifest(entry.name, settings.hub, place.id, listing.revision, "", records)
    write_manifest(folder, replace(found, sampled=sample(folder, wanted_files(entry, folder))))
    log.info("weights are whole", weights=entry.name, revision=listing.revision, folder=str(folder))


def choose(entry: Entry, place: Repository, listing: Listing) -> list[RemoteFile]:
    """The files to have, with the table's size and sha256 where it knows them.

    Where a repository holds safetensors, pickles of the same weights are left out. Raises `NotReady` where a file
    lacks, or is not the one the table knows.
    """
    there = {file.name: file for file in listing.files}
    problems = [f"{file.name} is not there" for file in entry.files if file.needed and file.name not in there]
    names = [name for name in there if entry.wants(name) and is_plain(name)]
    if any(name.endswith(".safetensors") for name in names):
        names = [name for name in names if not name.endswith(PICKLED)]
    elif entry.patterns and not any(name.endswith(".bin") for name in names):
        problems.append("there are no weights")
    known = {file.name: file for file in entry.files}
    chosen = []
    for name in names:
        remote, table = there[name], known.get(name, WeightFile(name))
        # The manifest is for files the hub hashes itself, so small files carry no sha256 to compare.
        if table.sha256 and remote.sha256 and table.sha256 != remote.sha256:
            problems.append(f"{name} has another sha256")
        elif table.size is not None and remote.size is not None and table.size != remote.size:
            problems.append(f"{name} has {remote.size} bytes instead of {table.size}")
        size = remote.size if table.size is None else table.size
        chosen.append(RemoteFile(name, size, table.sha256 or remote.sha256))
    if problems:
        raise NotReady(
            f"{place.id} at {listing.revision} is not what the engines were made for: {'; '.join(problems)}",
            reason="MODEL_MISMATCH",
        )
    return chosen


def _present(path: Path, file: RemoteFile, record: FileRecord | None) -> FileRecord | None:
    """What is known of a file that is already there and right; None where it must be fetched."""
    if not path.is_file():
        return None
    stat = path.stat()
    if file.size is not None and stat.st_size != file.size:
        return None
    unchanged = record and (record.size, record.mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    found = record if record and unchanged else _hashed(path)
    expected = file.sha256 or (record.sha256 if record else "")
    return found if not expected or found.sha256 == expected else None


def _hashed(path: Path) -> FileRecord:
    stat = path.stat()
    with path.open("rb") as data:
        return FileRecord(stat.st_size, hashlib.file_digest(data, "sha256").hexdigest(), stat.st_mtime_ns)


def _fetch(
    hub: HubClient, entry: Entry, place: Repository, listing: Listing, file: RemoteFile, folder: Path
) -> FileRecord:
    path = folder / file.name
    for attempt in range(1, ATTEMPTS + 1):
        path.unlink(missing_ok=True)  # it is wrong, or not there; partial files are kept elsewhere by the libraries
        try:
            hub.fetch(entry, place, listing, file, folder)
            break
        except NotReady as error:
            if error.reason != "HUB_UNREACHABLE" or attempt == ATTEMPTS:
                raise
            log.warning("the hub broke off; trying again", file=file.name, attempt=attempt, problem=str(error))
            time.sleep(min(2.0**attempt, 10.0) * 0.5)
    if not path.is_file():
        raise NotReady(f"{place.id} gave no {file.name}", reason="MODEL_MISSING")
    record = _hashed(path)
    if (file.size is not None and record.size != file.size) or (file.sha256 and record.sha256 != file.sha256):
        path.unlink()
        raise NotReady(
            f"{file.name} of {place.id} came damaged, or is of another revision: {record.size} bytes, sha256 "
            f"{record.sha256[:16]}..., expected {file.size} and {file.sha256[:16]}...; it was deleted, try again",
            reason="MODEL_DAMAGED",
        )
    log.info("pulled", file=file.name, gigabytes=giga(record.size))
    return record


@contextmanager
def _progress(entry: Entry, folder: Path, total: int, seconds: float) -> Iterator[None]:
    """Tells and logs what arrived so far, by what lies in the folder: the same for every hub's library."""
    done = threading.Event()
    before = bytes_in(folder)

    def report(step: progress.Step) -> None:
        told = time.monotonic()
        while not done.wait(min(TICK_SECONDS, seconds)):
            here = max(0, bytes_in(folder) - before)
            step.text = f"pulling {entry.name}: {giga(here)} of {giga(total)} GB"
            if time.monotonic() - told < seconds:
                continue
            told = time.monotonic()
            percent = round(100 * here / total) if total else 0
            log.info("pulling", weights=entry.name, gigabytes=giga(here), percent=percent)

    with progress.step(f"pulling {entry.name}: {giga(total)} GB") as step:
        thread = threading.Thread(target=report, args=(step,), name="pull-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
