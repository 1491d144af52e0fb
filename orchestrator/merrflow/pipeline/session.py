"""A run's surroundings: checked first, opened together, closed in order.

Everything that can be wrong with the arguments is found here, before any work starts, as one `InputError`.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.exc import SQLAlchemyError

from merrflow.clients import Services, identity, limits_of
from merrflow.core.errors import InputError, ungrouped
from merrflow.core.inputs import Found, assign_names, with_tables
from merrflow.core.records import Clip, Outcome
from merrflow.core.settings import RunSettings, load_settings
from merrflow.datasets.outputs import Summary, write_outputs
from merrflow.facs import DataFileError, RuleSet, UnknownLabel, load_rules
from merrflow.formats.clip_list import find_clips
from merrflow.formats.merr import read_labels, read_sentences
from merrflow.formats.precomputed import Given, read_given
from merrflow.pipeline.cache_keys import WorkKeys
from merrflow.pipeline.concurrency import clips_at_once
from merrflow.pipeline.gpu_phases import Plan, Sharing, Turns, open_sharing
from merrflow.pipeline.local_services import LocalServices, embedded_engines
from merrflow.pipeline.pause import Paused
from merrflow.pipeline.pipeline import Pipeline
from merrflow.pipeline.stage_cache import Memory
from merrflow.stages.text_reader import SharedReader
from merrflow.store import Ledger
from merrflow.store.database import place_of
from merrflow.store.exclusive import exclusive, exclusive_ledger
from merrflow_serving.catalog import SERVICES
from merrflow_serving.engine import EngineInfo
from merrflow_serving.errors import MerrflowError
from merrflow_serving.machine import host_memory

LEDGER_THREADS = 4  # one writes at a time; the others look up


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
    gpu_sharing: Literal["", "sequential"] = ""  # sequential: phase by phase, with the containers each needs
    gpu_memory: int = 0  # bytes of the card that is shared so; 0 to ask the containers

    @property
    def folder(self) -> Path:
        """The output folder, wherever the process goes. Links stay as they were named."""
        return Path(os.path.abspath(Path(self.out).expanduser()))

    def settings(self) -> RunSettings:
        """The settings of the file, the environment and the overrides. Raises `InputError`."""
        return load_settings(Path(self.config) if self.config else None, **self.overrides)

    def needed(self) -> list[str]:
        """The services that it needs."""
        return [name for name in SERVICES if not (self.action_units and name == "openface-au")]


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
        turns: Turns | None = None,
        largest_batch: int = 0,
    ) -> None:
        """services, pipeline: None where there is nothing to do here. turns: where the services take turns on a GPU;
        largest_batch: of these, which are not asked yet."""
        self.out = out
        self.settings = settings
        self.clips = clips
        self.todo = todo
        self.services = services
        self.summary: Summary | None = None  # once the outputs are written
        self.on_clip: Callable[[str, Outcome], None] = lambda name, outcome: None
        self.on_advance: Callable[[float], None] = lambda clips: None  # by how many clips, in parts, the run went on
        self._turns = turns
        if turns:
            turns.on_advance = lambda clips: self.on_advance(clips)
        self._ledger = ledger
        self._pipeline = pipeline
        self._opened = datetime.now(UTC)
        rooms = [item.replicas.room for item in services.connections.values()] if services and not turns else []
        rooms.append(2 * largest_batch)
        self._clips_at_once = settings.clips_at_once or clips_at_once(rooms, host_memory().free_bytes)
        self._at_once = asyncio.Semaphore(self._clips_at_once)

    def raise_if_broken(self) -> None:
        """Raises `InputError` with what to do where a service has said already that it cannot work."""
        try:
            for connection in self.services.connections.values() if self.services and not self._turns else ():
                connection.replicas.raise_if_broken()
        except MerrflowError as error:
            raise InputError(str(error)) from error

    async def wait_ready(self) -> None:
        """Returns once all models are loaded. Raises `InputError` with what to do where one cannot be."""
        try:
            if self.services and not self._turns:  # turns wait for those whose turn it is
                await self.services.wait_ready()
        except MerrflowError as error:
            raise InputError(str(error)) from error

    @property
    def plan(self) -> Plan | None:
        """Who is on the GPU when, where the services take turns."""
        return self._turns.plan if self._turns else None

    async def rounds(self) -> AsyncIterator[list[str]]:
        """The clips to annotate, once with all services; where they take turns, again with those of each phase."""
        names = [clip.name for clip in self.todo]
        if self._turns is None:
            yield names
            return
        async for some in self._turns.rounds(names, self._pipeline):
            yield some

    async def annotate(self, names: list[str]) -> Counter[str]:
        """Takes these clips to their outcomes, or as far as this round goes, as many at once as the settings allow."""
        wanted = set(names)
        waiting = iter([clip for clip in self.todo if clip.name in wanted])
        outcomes: Counter[str] = Counter()

        async def work() -> None:
            for clip in waiting:
                async with self._at_once:
                    outcome = await self._pipeline.annotate(clip)
                if isinstance(outcome, Paused):
                    self._turns.paused(clip.name, outcome)
                    continue
                outcomes[outcome] += 1
                self.on_clip(clip.name, outcome)
                if self._turns:
                    self._turns.done(clip.name)
                else:
                    self.on_advance(1.0)

        with ungrouped():
            async with asyncio.TaskGroup() as group:
                for _ in range(min(len(wanted), self._clips_at_once)):
                    group.create_task(work())
        return outcomes

    @property
    def is_handed_out(self) -> bool:
        """Whether the work is for others: there is some, and no pipeline here."""
        return bool(self.todo) and self._pipeline is None

    def finished(self) -> int:
        """How many clips came to an outcome since this session was opened, by whoever's work. Blocking."""
        return self._ledger.finished_since(self._opened)

    def table(self, limit: int) -> list[dict[str, str]]:
        """This run's clips with their outcomes, for a table. Blocking."""
        wanted = {clip.name for clip in self.clips}
        rows = [row for row in self._ledger.clips() if row.clip.name in wanted]
        return [
            {"clip": row.clip.name, "outcome": str(row.outcome or "unfinished"), "reason": row.reason}
            for row in rows[:limit]
        ]

    def write_outputs(self) -> Summary:
        """Writes all output files from the ledger, where anything is new in it. Blocking."""
        names = {clip.name for clip in self.clips}
        self.summary = write_outputs(self._ledger, self.out, names, len(self.todo), unless_current=True)
        return self.summary


_open: dict[str, Session] = {}


@asynccontextmanager
async def open_session(
    request: Request, say: Callable[[str], None] = lambda text: None, *, hand_out: bool = False
) -> AsyncIterator[Session]:
    """Checks everything, starts or connects the services, and closes them at the end.

    Within a session of the same folder in this process it joins that one. Raises `InputError`.
    say: told in a few words what is being waited for. hand_out: where there is more to do than one shard, others do it
    (shards.py), and no services are started here.
    """
    out = request.folder
    if str(out) in _open:
        yield _open[str(out)]
        return
    settings = request.settings()
    given = _given(request)
    settings.addresses(request.needed())  # all or none: said before the clips are read
    found = find_clips(request.inputs)
    sentences = read_sentences(Path(request.transcripts)) if request.transcripts else {}
    rules = _rules(settings)
    labels = read_labels(Path(request.labels), rules.normal) if request.labels else {}
    _check_labels(rules, found)
    async with AsyncExitStack() as stack:
        stack.enter_context(exclusive(out))
        ledger = _ledger(settings, out)
        stack.callback(ledger.close)
        stack.enter_context(exclusive_ledger(ledger.place, out))
        say("reading the list of clips")
        await asyncio.to_thread(ledger.follow_moved, found)
        names = assign_names(found, ledger.names())
        for table, file in ((sentences, request.transcripts), (labels, request.labels)):
            _check_names(table, names, found, file or "")
        if sentences or labels:
            found = with_tables(found, names, sentences, labels)
        clips = await asyncio.to_thread(ledger.register, found, names)
        least = settings.shard_size if hand_out else None
        sharing = None
        if request.gpu_sharing:
            say("asking the services' containers what they need of the GPU")
            sharing = await open_sharing(settings, request.needed(), request.gpu_memory)
        session = await _furnish(stack, request, settings, given, rules, ledger, clips, say, least, sharing)
        _open[str(out)] = session
        stack.callback(_open.pop, str(out))
        yield session


@asynccontextmanager
async def open_shard(request: Request, names: Sequence[str]) -> AsyncIterator[Session]:
    """A part of a run that another process has opened: these of its clips, which are in its ledger already. Writes no
    output files. Raises `InputError`."""
    out = request.folder
    settings = request.settings()
    given = _given(request)
    rules = _rules(settings)
    async with AsyncExitStack() as stack:
        ledger = _ledger(settings, out, make=False)
        stack.callback(ledger.close)
        clips = await asyncio.to_thread(ledger.named, names)
        yield await _furnish(stack, request, settings, given, rules, ledger, clips)


def _given(request: Request) -> Given | None:
    """Action Units from files, where they are."""
    return read_given(Path(request.action_units).expanduser()) if request.action_units else None


async def _furnish(
    stack: AsyncExitStack,
    request: Request,
    settings: RunSettings,
    given: Given | None,
    rules: RuleSet,
    ledger: Ledger,
    clips: list[Clip],
    say: Callable[[str], None] = lambda text: None,
    most: int | None = None,
    sharing: Sharing | None = None,
) -> Session:
    """A session over registered clips, with the services and the pipeline where there is something to do; without
    them where more than `most` clips are to do."""
    out, needed = request.folder, request.needed()
    addresses = settings.addresses(needed)
    services = turns = None
    if addresses and not sharing:
        say("asking the services which engines they run")
        services = await _start(stack, Services(addresses, settings))
    cores = os.cpu_count() or 1
    reader = SharedReader(min(cores, 4))
    lexicon = rules.phrases()
    if sharing:
        identities, limits = sharing.identities, sharing.limits
    elif services:
        identities, limits = services.identities(), services.limits()
    else:
        engines = _embedded(needed)
        identities = {name: identity(engine) for name, engine in engines.items()}
        limits = {name: limits_of(engine.limits) for name, engine in engines.items()}
    keys = WorkKeys(identities, limits, settings, rules, lexicon, reader.identity, given)
    todo = await asyncio.to_thread(_todo, clips, ledger, keys, out)
    if not todo or (most is not None and len(todo) > most):
        if sharing:
            await sharing.tidy(out)
        return Session(out, settings, ledger, clips, todo, services, None)
    if sharing:
        turns = await stack.enter_async_context(sharing.turns(settings, out, say))
        services = turns.services
    if services is None:
        say("starting the embedded services")
        root = _common_root(clips)
        local = await _start(stack, LocalServices(out / "logs", root, needed))
        settings = settings.for_embedded_services().model_copy(update={"send_paths": root is not None})
        services = await _start(stack, Services(local.addresses, settings))
    threads = stack.enter_context(ThreadPoolExecutor(cores, thread_name_prefix="stage"))
    asking = stack.enter_context(ThreadPoolExecutor(LEDGER_THREADS, thread_name_prefix="ledger"))
    memory = Memory(ledger, keys, asking)
    pipeline = Pipeline(services, keys, memory, settings, rules, lexicon, out, threads, reader, given)
    largest = sharing.largest_batch if sharing else 0
    return Session(out, settings, ledger, clips, todo, services, pipeline, turns, largest)


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


def _ledger(settings: RunSettings, out: Path, *, make: bool = True) -> Ledger:
    try:
        return Ledger(place_of(out, settings.ledger_url, make=make))
    except (SQLAlchemyError, ImportError) as error:
        where = "the ledger_url setting" if settings.ledger_url else out / "ledger.db"
        reason = str(error).splitlines()[0]
        raise InputError(f"the ledger cannot be opened ({where}): {reason}") from error


def _common_root(clips: list[Clip]) -> Path | None:
    """The folder above all clips, if the embedded services may be allowed to read from it by path."""
    root = Path(os.path.commonpath([clip.path.parent.resolve() for clip in clips]))
    return None if root == Path(root.anchor) or ":" in str(root) else root
