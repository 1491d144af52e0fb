"""A run's surroundings: checked first, opened together, closed in order.

Everything that can be wrong with the arguments is found here, before any work starts, as one `InputError`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy.exc import SQLAlchemyError

from merrflow.clients import ServiceGone, Services, identity, limits_of
from merrflow.export.everything import write_all
from merrflow.facs import DataFileError, RuleSet, UnknownLabel, load_rules
from merrflow.given import read_given
from merrflow.inputs import Found, InputError, assign_names, find_clips, with_tables
from merrflow.keys import WorkKeys
from merrflow.ledger import Ledger
from merrflow.local_services import LocalServices, embedded_engines
from merrflow.merr_files import read_labels, read_sentences
from merrflow.pipeline import Pipeline
from merrflow.reader import SharedReader
from merrflow.report import write_report
from merrflow.report.survey import Surveyor
from merrflow.settings import RunSettings, load_settings
from merrflow.types import Clip, Outcome
from merrflow_serving.catalog import SERVICES
from merrflow_serving.engine import EngineInfo
from merrflow_serving.errors import MerrflowError

MOST_AT_ONCE = 64  # clips; a decoded clip takes some 50 MB


@dataclass(frozen=True)
class Request:
    """What a run is asked for; plain values, so that it can be a Prefect parameter."""

    inputs: tuple[str, ...]
    out: str
    transcripts: str | None = None
    config: str | None = None
    labels: str | None = None
    action_units: str | None = None  # OpenFace's CSVs or MERR's JSON, instead of the service
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """How a run ended."""

    out: Path
    clips: int
    outcomes: dict[str, int]  # outcome -> clips of this run
    labels: dict[str, int]  # label -> records in the output folder
    coarse: int  # records in the output folder's MERR files
    fine: int
    try_again: int  # clips that failed for a reason that may pass; the next run tries them again
    unfinished: int  # clips without an outcome
    worked: int  # clips that this run worked on; the rest was done before
    problems: tuple[tuple[str, str], ...]  # (clip, reason) of those that failed

    @property
    def complete(self) -> bool:
        """Every clip has an outcome that will stay."""
        return not (self.unfinished or self.try_again)


class Session:
    """An open run. Made by `open_session`."""

    def __init__(
        self,
        out: Path,
        settings: RunSettings,
        ledger: Ledger,
        clips: list[Clip],
        todo: list[Clip],
        services: Services | None,
        pipeline: Pipeline | None,
    ) -> None:
        """services, pipeline: None where there is nothing to do."""
        self.out = out
        self.settings = settings
        self.clips = clips
        self.todo = todo
        self.services = services
        self.summary: Summary | None = None  # once the outputs are written
        self.on_clip: Callable[[str, Outcome], None] = lambda name, outcome: None
        self._ledger = ledger
        self._pipeline = pipeline
        batches = [item.info.limits.max_batch_size for item in services.connections.values()] if services else []
        self._at_once = asyncio.Semaphore(settings.clips_at_once or min(MOST_AT_ONCE, 4 + 2 * max(batches, default=0)))

    async def wait_ready(self) -> None:
        """Returns once all models are loaded. Raises `InputError` with what to do where one cannot be."""
        try:
            if self.services:
                await self.services.wait_ready()
        except MerrflowError as error:
            raise InputError(str(error)) from error

    async def annotate(self, names: list[str]) -> Counter[str]:
        """Takes these clips to their outcomes, as many at once as the settings allow."""
        wanted = set(names)
        waiting = iter([clip for clip in self.todo if clip.name in wanted])
        outcomes: Counter[str] = Counter()

        async def work() -> None:
            for clip in waiting:
                async with self._at_once:
                    outcome = await self._pipeline.annotate(clip)
                outcomes[outcome] += 1
                self.on_clip(clip.name, outcome)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(wanted), MOST_AT_ONCE)):
                    group.create_task(work())
        except* ServiceGone as gone:
            raise gone.exceptions[0] from None
        return outcomes

    def table(self, limit: int) -> list[dict[str, str]]:
        """This run's clips with their outcomes, for a table. Blocking."""
        wanted = {clip.name for clip in self.clips}
        rows = [row for row in self._ledger.clips() if row.clip.name in wanted]
        return [
            {"clip": row.clip.name, "outcome": str(row.outcome or "unfinished"), "reason": row.reason}
            for row in rows[:limit]
        ]

    def write_outputs(self) -> Summary:
        """Writes all output files from the ledger. Blocking."""
        names = {clip.name for clip in self.clips}
        self.summary = write_outputs(self._ledger, self.out, names, len(self.todo))
        return self.summary


def write_outputs(ledger: Ledger, out: Path, names: set[str] | None = None, worked: int = 0) -> Summary:
    """Every output file of a folder, from its ledger alone. names: the clips to sum up (None: all)."""
    surveyor = Surveyor(ledger)
    written = write_all(ledger, out, also=[surveyor])
    write_report(ledger, out, surveyor.survey())
    rows = [row for row in ledger.clips() if names is None or row.clip.name in names]
    return Summary(
        out=out,
        clips=len(rows),
        outcomes=dict(Counter(str(row.outcome) for row in rows if row.outcome)),
        labels=written.labels,
        coarse=written.coarse,
        fine=written.fine,
        try_again=sum(row.retry for row in rows),
        unfinished=sum(row.outcome is None for row in rows),
        worked=worked,
        problems=tuple((row.clip.name, row.reason) for row in rows if row.outcome is Outcome.FAILED),
    )


_open: dict[str, Session] = {}


@asynccontextmanager
async def open_session(request: Request, say: Callable[[str], None] = lambda text: None) -> AsyncIterator[Session]:
    """Checks everything, starts or connects the services, and closes them at the end.

    Within a session of the same folder in this process it joins that one. Raises `InputError`.
    say: told in a few words what is being waited for.
    """
    out = Path(os.path.abspath(Path(request.out).expanduser()))
    if str(out) in _open:
        yield _open[str(out)]
        return
    settings = load_settings(Path(request.config) if request.config else None, **request.overrides)
    given = read_given(Path(request.action_units).expanduser()) if request.action_units else None
    needed = [name for name in SERVICES if not (given and name == "openface-au")]
    addresses = settings.addresses(needed)
    found = find_clips(request.inputs)
    sentences = read_sentences(Path(request.transcripts)) if request.transcripts else {}
    rules = _rules(settings)
    labels = read_labels(Path(request.labels), rules.normal) if request.labels else {}
    _check_labels(rules, found)
    async with AsyncExitStack() as stack:
        stack.enter_context(_locked(out))
        ledger = _ledger(settings, out)
        stack.callback(ledger.close)
        say("reading the list of clips")
        await asyncio.to_thread(ledger.follow_moved, found)
        names = assign_names(found, ledger.names())
        for table, file in ((sentences, request.transcripts), (labels, request.labels)):
            _check_names(table, names, found, file or "")
        if sentences or labels:
            found = with_tables(found, names, sentences, labels)
        clips = await asyncio.to_thread(ledger.register, found, names)
        services = None
        if addresses:
            say("asking the services which engines they run")
            services = await _start(stack, Services(addresses, settings))
        cores = os.cpu_count() or 1
        reader = SharedReader(min(cores, 4))
        lexicon = rules.phrases()
        if services:
            identities, limits = services.identities(), services.limits()
        else:
            engines = _embedded(needed)
            identities = {name: identity(engine) for name, engine in engines.items()}
            limits = {name: limits_of(engine.limits) for name, engine in engines.items()}
        keys = WorkKeys(identities, limits, settings, rules, lexicon, reader.identity, given)
        todo = await asyncio.to_thread(_todo, clips, ledger, keys, out)
        pipeline = None
        if todo:
            if services is None:
                say("starting the embedded services")
                root = _common_root(clips)
                local = await _start(stack, LocalServices(out / "logs", root, needed))
                settings = settings.model_copy(update={"send_paths": root is not None})
                services = await _start(stack, Services(local.addresses, settings))
            threads = stack.enter_context(ThreadPoolExecutor(cores, thread_name_prefix="stage"))
            pipeline = Pipeline(services, keys, ledger, settings, rules, lexicon, out, threads, reader, given)
        session = Session(out, settings, ledger, clips, todo, services, pipeline)
        _open[str(out)] = session
        stack.callback(_open.pop, str(out))
        yield session


async def _start(stack: AsyncExitStack, context: Any) -> Any:
    try:
        return await stack.enter_async_context(context)
    except MerrflowError as error:
        raise InputError(str(error)) from error


def _todo(clips: list[Clip], ledger: Ledger, keys: WorkKeys, out: Path) -> list[Clip]:
    """The clips whose work is not all there. A record without its picture is put right from the ledger."""
    finished = ledger.finished()
    pictures = {path.stem for path in (out / "peaks").glob("*.jpg")}
    unseen = ledger.described() - pictures

    def is_done(clip: Clip) -> bool:
        key = keys.of(clip)
        return clip.name not in unseen and finished.get(clip.name) in (key, keys.refused(key))

    return [clip for clip in clips if not is_done(clip)]


def _embedded(names: list[str]) -> dict[str, EngineInfo]:
    try:
        return embedded_engines(names)
    except MerrflowError as error:
        raise InputError(str(error)) from error


def _rules(settings: RunSettings) -> RuleSet:
    try:
        return load_rules(settings.rules)
    except DataFileError as error:
        raise InputError(str(error)) from error


def _check_labels(rules: RuleSet, found: list[Found]) -> None:
    for clip in found:
        try:
            if clip.label:
                rules.normal(clip.label)
        except UnknownLabel as error:
            raise InputError(f"{clip.row}: {error}") from error


def _check_names(table: dict[str, str], names: dict[Path, str], found: list[Found], file: str) -> None:
    """A table that names none of the clips is another dataset's, or has names of another form."""
    known = {name for clip in found for name in (names[clip.path], clip.path.stem)}
    if table and not known & set(table):
        raise InputError(
            f"{file}: names none of the {len(found)} clips; it has {min(table)!r}, and the clips {min(known)!r}"
        )


def _ledger(settings: RunSettings, out: Path) -> Ledger:
    try:
        return Ledger(settings.ledger_url) if settings.ledger_url else Ledger.in_folder(out)
    except (SQLAlchemyError, ImportError) as error:
        where = "the ledger_url setting" if settings.ledger_url else out / "ledger.db"
        reason = str(error).splitlines()[0]
        raise InputError(f"the ledger cannot be opened ({where}): {reason}") from error


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """The output folder, writable and for this run alone. Raises `InputError`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise InputError(f"{out}: cannot write there ({error.strerror}); choose another folder with --out") from error
    lock = FileLock(out / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{out}: another run is working there; wait for it, or choose another folder with --out"
        ) from None
    with lock:
        lock.release()  # the `with` holds it now
        yield


def _common_root(clips: list[Clip]) -> Path | None:
    """The folder above all clips, if the embedded services may be allowed to read from it by path."""
    root = Path(os.path.commonpath([clip.path.parent.resolve() for clip in clips]))
    return None if root == Path(root.anchor) or ":" in str(root) else root
