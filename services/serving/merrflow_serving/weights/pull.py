"""Pulling weights from a hub: only the files that are needed, each checked, and by one process at a time.

The hubs' libraries download and resume. What is done here, they do not do: compare a repository with the table before a
byte is fetched, compare every file with its sha256, record what came, and keep a second process from fetching it again
(with huggingface_hub's own lock the second one waits, and then fetches the file once more).
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import structlog
from filelock import FileLock, Timeout

from merrflow_serving.errors import NotReady
from merrflow_serving.weights import messages, progress, storage
from merrflow_serving.weights.entries import Entry, Repository, WeightFile
from merrflow_serving.weights.files import bytes_of, check, expected_file, fault_of, wanted_files
from merrflow_serving.weights.hubs import HubClient, Listing, client
from merrflow_serving.weights.manifest import FileRecord, Manifest, read_manifest, read_whole, sample, write_manifest
from merrflow_serving.weights.places import Source, WeightSettings
from merrflow_serving.weights.storage import bytes_in, giga

log = structlog.get_logger()
ATTEMPTS = 3  # for each file: huggingface_hub goes on after a broken connection, but gives up at HTTP 503
TICK_SECONDS = 1.0  # between looks at what has come
PICKLED = (".bin", ".bin.index.json")


def pull(entry: Entry, settings: WeightSettings, *, report_seconds: float = 15.0) -> Path:
    """The entry's folder below models_dir, whole. Files that are there and right are not fetched again.

    Two processes may ask at once: one pulls, the other waits and finds the files. A pull that was cut off keeps the
    files that it finished. report_seconds: how often progress is logged.
    Raises `NotReady`: no hub has it, gated, no network, no room, or the hub's files are not those of the table.
    """
    source = entry.source(settings.hub)
    folder = settings.models_dir / entry.name
    if source is None:
        if check(entry, folder, settings.models_dir).whole:
            return folder
        raise messages.on_another_hub(entry, folder, settings.hub)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(entry, settings.models_dir):
            if not (check(entry, folder, settings.models_dir).whole and read_manifest(folder).revision):
                _pull(entry, *source, folder, report_seconds)
    except OSError as error:
        raise storage.problem(entry, folder, error) from error
    return folder


def preflight(wanted: Sequence[tuple[Entry, WeightSettings]]) -> list[NotReady]:
    """What is in the way of pulling these, asked of the hubs and the disks before anything is pulled; empty if nothing.

    wanted: entries, each with the settings that say where it goes.
    """
    problems: list[NotReady] = []
    to_come: dict[Path, dict[str, int]] = {}  # models_dir -> entry -> bytes
    for entry, settings in wanted:
        folder = settings.models_dir / entry.name
        source = entry.source(settings.hub)
        if check(entry, folder, settings.models_dir).whole:
            continue
        if source is None:
            problems.append(messages.on_another_hub(entry, folder, settings.hub))
            continue
        try:
            hub = client(*source, folder=folder, entry=entry)
            listing = hub.list()
            files = choose(entry, source[1], listing)
            hub.let_in(listing, files[0])
        except NotReady as error:
            problems.append(error)
            continue
        size = sum(file.size or 0 for file in files) or entry.bytes
        lacking = max(0, size - bytes_of(wanted_files(entry, folder)))
        to_come.setdefault(settings.models_dir, {})[entry.name] = lacking
    for models_dir, sizes in to_come.items():
        try:
            storage.need_room(", ".join(sizes), models_dir, sum(sizes.values()))
        except NotReady as error:
            problems.append(error)
    return problems


@contextmanager
def _alone(entry: Entry, models_dir: Path) -> Iterator[None]:
    """Inside, no other process pulls the entry. The lock ends with its process, however that ends."""
    locks = models_dir / ".locks"
    locks.mkdir(exist_ok=True)
    lock = FileLock(locks / f"{entry.name}.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("another process pulls these weights; waiting for it", weights=entry.name)
        with progress.step(f"waiting for another process that pulls {entry.name}"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _pull(entry: Entry, source: Source, repository: Repository, folder: Path, report_seconds: float) -> None:
    storage.drop_leftovers(folder)
    hub = client(source, repository, folder=folder, entry=entry)
    with progress.step(f"asking {source} for the files of {repository.id}"):
        listing = hub.list()
    wanted = choose(entry, repository, listing)
    manifest = read_manifest(folder)
    present = {file.name: _present(folder / file.name, file, manifest) for file in wanted}
    to_fetch = [file for file in wanted if present[file.name] is None]
    records = {name: record for name, record in present.items() if record}
    total = sum(file.size or 0 for file in to_fetch) or entry.bytes
    storage.need_room(entry.name, folder, total)
    log.info("pulling weights", weights=entry.name, source=repository.id, files=len(to_fetch), gigabytes=giga(total))
    with _watched(entry, folder, total, report_seconds):
        for file in to_fetch:
            records[file.name] = _fetch(hub, listing, file, folder)
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the libraries' own notes on partial files
    found = Manifest(entry.name, source, repository.id, listing.revision, "", records)
    write_manifest(folder, replace(found, sampled=sample(folder, wanted_files(entry, folder))))
    log.info("weights are whole", weights=entry.name, revision=listing.revision, folder=str(folder))


def choose(entry: Entry, repository: Repository, listing: Listing) -> list[WeightFile]:
    """The files to have, with the table's size and sha256 if it knows them.

    If a repository holds safetensors, pickles of the same weights are left out. Raises `NotReady` if a file is
    missing, or is not the one that the table knows.
    """
    there = {file.name: file for file in listing.files}
    problems = [f"{file.name} is not there" for file in entry.files if file.needed and file.name not in there]
    names = [name for name in there if entry.wants(name)]
    if any(name.endswith(".safetensors") for name in names):
        names = [name for name in names if not name.endswith(PICKLED)]
    elif entry.patterns and not any(name.endswith(".bin") for name in names):
        problems.append("there are no weights")
    known = {file.name: file for file in entry.files}
    chosen = []
    for name in names:
        remote, table = there[name], known.get(name, WeightFile(name))
        # Hubs compute a sha256 of large files only, so of small ones there may be none to compare.
        if table.sha256 and remote.sha256 and table.sha256 != remote.sha256:
            problems.append(f"{name} has another sha256")
        elif table.size is not None and remote.size is not None and table.size != remote.size:
            problems.append(f"{name} has {remote.size} bytes instead of {table.size}")
        size = remote.size if table.size is None else table.size
        chosen.append(WeightFile(name, size, table.sha256 or remote.sha256))
    if problems:
        raise NotReady(
            f"{repository.id} at {listing.revision} is not what the engines were made for: {'; '.join(problems)}",
            reason="MODEL_MISMATCH",
        )
    return chosen


def _present(path: Path, file: WeightFile, manifest: Manifest) -> FileRecord | None:
    """What is known of a file that is already there and right; None if it must be fetched."""
    if not path.is_file() or fault_of(file, path.stat().st_size):
        return None
    known = manifest.files.get(file.name)
    record = known if known and known.is_still(path) else read_whole(path)
    return None if fault_of(expected_file(file, manifest), record.size, record.sha256) else record


def _fetch(hub: HubClient, listing: Listing, file: WeightFile, folder: Path) -> FileRecord:
    path = folder / file.name
    path.unlink(missing_ok=True)  # it is wrong, or not there; partial files are elsewhere
    for attempt in range(1, ATTEMPTS + 1):
        try:
            hub.fetch(listing, file)
            break
        except NotReady as error:
            if error.reason != "HUB_UNREACHABLE" or attempt == ATTEMPTS:
                raise
            log.warning("the hub broke off; trying again", file=file.name, attempt=attempt, problem=str(error))
            time.sleep(min(2.0**attempt, 10.0) * 0.5)
    if not path.is_file():
        raise NotReady(f"the hub gave no {file.name}", reason="MODEL_MISSING")
    record = read_whole(path)
    fault = fault_of(file, record.size, record.sha256)
    if fault:
        path.unlink()
        raise NotReady(f"{fault}. It came so from the hub and was deleted; try again", reason="MODEL_DAMAGED")
    log.info("pulled", file=file.name, gigabytes=giga(record.size))
    return record


@contextmanager
def _watched(entry: Entry, folder: Path, total: int, seconds: float) -> Iterator[None]:
    """Reports and logs how much has come, by what is in the folder: the same for every hub's library."""
    done = threading.Event()
    before = bytes_in(folder)

    def watch(step: progress.Step) -> None:
        logged = time.monotonic()
        while not done.wait(min(TICK_SECONDS, seconds)):
            here = max(0, bytes_in(folder) - before)
            step.say(f"pulling {entry.name}: {giga(here)} of {giga(total)} GB")
            if time.monotonic() - logged >= seconds:
                logged = time.monotonic()
                percent = round(100 * here / total) if total else 0
                log.info("pulling", weights=entry.name, gigabytes=giga(here), percent=percent)

    with progress.step(f"pulling {entry.name}: {giga(total)} GB") as step:
        thread = threading.Thread(target=watch, args=(step,), name="pull-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
