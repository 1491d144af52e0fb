"""Opens a run: checks its arguments, starts or connects its services, and closes all in order.

Everything that can be wrong with the arguments is found here, before any work starts, and raised as `InputError`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from merrflow.clients import Services, identity, limits_of
from merrflow.core.errors import InputError, RunStopped, listed
from merrflow.core.heap import growing_heap
from merrflow.core.inputs import Found, assign_names, with_tables
from merrflow.core.measurements import Clip
from merrflow.core.paths import expanded
from merrflow.core.settings import RunSettings
from merrflow.datasets.entries import entries
from merrflow.datasets.pictures import FOLDER, Pictures
from merrflow.facs import DataFileError, RuleSet, UnknownLabel, load_rules
from merrflow.formats.clip_list import find_clips
from merrflow.formats.merr import read_labels, read_sentences
from merrflow.formats.precomputed import Precomputed, read_precomputed
from merrflow.formats.subtitle_files import Listing
from merrflow.pipeline.cache_keys import CacheKeys
from merrflow.pipeline.concurrency import decoder_threads, held_frames, held_samples
from merrflow.pipeline.embedded_engines import embedded_engines
from merrflow.pipeline.gpu_phases import Sharing, open_sharing
from merrflow.pipeline.local_services import START_SECONDS, LocalServices
from merrflow.pipeline.pipeline import Pipeline
from merrflow.pipeline.ranked_threads import RankedThreads
from merrflow.pipeline.request import Request
from merrflow.pipeline.session import Engaged, Session
from merrflow.pipeline.stage_cache import StageCache
from merrflow.pipeline.table_names import check_renamed, check_table
from merrflow.pipeline.text_judge import TextJudge
from merrflow.pipeline.witness_engines import WitnessEngines
from merrflow.stages import agreement
from merrflow.stages.graph import graph_for
from merrflow.stages.stage import Run
from merrflow.stages.subtitle_en import cannot_translate, without_translating
from merrflow.stages.testimony import with_witnesses
from merrflow.stages.text_agreement import JUDGE
from merrflow.stages.text_reader import SharedReader
from merrflow.stages.witnesses.rules import load_witnesses
from merrflow.store import GroupedWrites, Ledger, batched, forgotten
from merrflow.store.database_retries import advice
from merrflow.store.exclusive import exclusive, exclusive_ledger
from merrflow_serving.errors import MerrflowError

log = logging.getLogger(__name__)
Made = TypeVar("Made")
LEDGER_THREADS = 4  # one writes at a time; the others look up


@asynccontextmanager
async def open_session(
    request: Request, say: Callable[[str], None] = lambda text: None, *, hand_out: bool = False
) -> AsyncIterator[Session]:
    """Checks everything, starts or connects the services, and closes them at the end.

    Raises `InputError`. say: called with a few words on what is being waited for. hand_out: if there is more to do than
    one shard, other processes do it (flow/shards.py), and no services are started here.
    """
    out = request.folder
    settings = request.settings()
    precomputed = _precomputed(request)
    settings.addresses(request.needed())  # all or none: an error here comes before the clips are read
    written = settings.layout, settings.table_encoding
    found = find_clips(request.inputs, *written)
    sentences = read_sentences(Path(request.transcripts), *written) if request.transcripts else {}
    rules = _made(load_rules, settings.rules)
    _check_witnesses(settings, rules)
    labels = read_labels(Path(request.labels), rules.normal, *written) if request.labels else {}
    _check_labels(rules, found)
    async with AsyncExitStack() as stack:
        stack.enter_context(exclusive(out))
        ledger = _ledger(settings, out)
        stack.callback(ledger.close)
        stack.enter_context(exclusive_ledger(ledger.location, out))
        say("reading the list of clips")
        known = await asyncio.to_thread(ledger.follow_moved, found)
        names = assign_names(found, {row.name: path for path, row in known.items()})
        for table, file in ((sentences, request.transcripts), (labels, request.labels)):
            check_table(table, names, found, file or "")
        if precomputed:
            check_renamed(precomputed.named, names, found, request.action_units or "")
        if sentences or labels:
            found = with_tables(found, names, sentences, labels)
        if lost := await asyncio.to_thread(forgotten, ledger, out):
            log.warning("%s; all of it is computed again, and these files are replaced", lost)
        clips = await asyncio.to_thread(ledger.register, found, names, known)
        await _mend_pictures(clips, ledger, Pictures(out / FOLDER), say)
        least = settings.shard_size if hand_out else None
        sharing = None
        if request.gpu_sharing:
            say("asking the services' containers how much GPU memory they need")
            sharing = await open_sharing(settings, request.needed(), request.gpu_memory)
        yield await _furnish(stack, request, settings, precomputed, rules, ledger, clips, say, least, sharing)


@asynccontextmanager
async def open_shard(request: Request, names: Sequence[str]) -> AsyncIterator[Session]:
    """A part of a run that another process has opened: some of its clips, which are already in its ledger. Writes no
    output files. Raises `InputError`."""
    out = request.folder
    settings = request.settings()
    precomputed = _precomputed(request)
    rules = _made(load_rules, settings.rules)
    async with AsyncExitStack() as stack:
        ledger = _ledger(settings, out, make=False)
        stack.callback(ledger.close)
        clips = await asyncio.to_thread(ledger.named, names)
        yield await _furnish(stack, request, settings, precomputed, rules, ledger, clips)


def _precomputed(request: Request) -> Precomputed | None:
    """Action Units from files, if the request names any."""
    return read_precomputed(expanded(request.action_units)) if request.action_units else None


async def _furnish(
    stack: AsyncExitStack,
    request: Request,
    settings: RunSettings,
    precomputed: Precomputed | None,
    rules: RuleSet,
    ledger: Ledger,
    clips: list[Clip],
    say: Callable[[str], None] = lambda text: None,
    most: int | None = None,
    sharing: Sharing | None = None,
) -> Session:
    """A session over registered clips. It has services and a pipeline if there is something to do, but not if there are
    more than `most` clips to do."""
    out, needed = request.folder, request.needed()
    addresses = settings.addresses(needed)
    services = phases = local = None
    if addresses and not sharing:
        say("asking the services which engines they run")
        services = await _start(stack, Services(addresses, settings))
    cores = os.cpu_count() or 1
    reader = _made(SharedReader, min(cores, 4))
    lexicon, witnesses = rules.phrases(), _made(load_witnesses, settings.witnesses)
    if sharing:
        identities, limits = sharing.identities, sharing.limits
    elif services:
        identities, limits = services.identities(), services.limits()
    else:
        engines = _made(embedded_engines, needed)
        identities = {name: identity(engine) for name, engine in engines.items()}
        limits = {name: limits_of(engine.limits) for name, engine in engines.items()}
    translate = settings.translate == "en"
    graph = graph_for(settings.labels_from, precomputed, speech="whisper" in identities, translate=translate)
    second = await WitnessEngines.find(stack, settings, identities, sharing.second_identities if sharing else {})
    text_judge = await TextJudge.find(stack, settings)
    if not translate:  # how the engine would translate is then no part of the records' keys
        identities = {name: without_translating(one) for name, one in identities.items()}
    keys = CacheKeys(
        *(graph, identities, limits, settings, rules, lexicon, witnesses, reader.identity, precomputed),
        second={name: one and without_translating(one) for name, one in second.identities.items()},
        compared_by=[agreement.VERSION, text_judge.judge(None).version],
    )
    todo = await asyncio.to_thread(_todo, clips, ledger, keys)
    if todo and translate and (problem := cannot_translate(identities)):
        log.warning("%s", problem)
    if not todo or (most is not None and len(todo) > most):
        if sharing:
            await sharing.tidy(out)
        return Session(out, settings, ledger, clips, todo, services)
    if sharing:
        phases = await stack.enter_async_context(sharing.phases(settings, out, say))
        services = phases.services
    root = _common_root(clips)
    phased = phases.second if phases else {}
    others = await second.start(stack, settings, out / "logs", root, phased)
    judging = await text_judge.start(stack, settings, out / "logs")
    if services is None:
        say("starting the embedded services")
        local = await _start(stack, LocalServices(out / "logs", root, needed))
        patience = max(settings.connect_seconds, START_SECONDS)  # one that dies is back by then
        own = {"send_paths": root is not None, "connect_seconds": patience}
        settings = settings.for_embedded_services(local.token).model_copy(update=own)
        services = await local.while_alive(_start(stack, Services(local.addresses, settings)))
    threads = stack.enter_context(RankedThreads(cores))
    asking = stack.enter_context(ThreadPoolExecutor(LEDGER_THREADS, thread_name_prefix="ledger"))
    graph = with_witnesses(graph, second.engines, JUDGE if text_judge.is_model else None)
    run = Run(
        *(settings, rules, lexicon, witnesses, identities, reader, precomputed, out, services, threads.of_rank(0)),
        second=second.second({**others, **phased}),
        judge=text_judge.judge(judging),
        samples=held_samples(),
        frames=held_frames(),
        decoder_threads=decoder_threads(len(todo), cores),
    )
    beside = (*others.values(), *([judging] if judging else []))
    writes = stack.enter_context(GroupedWrites(ledger.write))
    pipeline = Pipeline(graph, run, StageCache(ledger, graph, keys, asking, writes), threads.of_rank)
    engaged = Engaged(pipeline, services, phases, sharing.largest_batch if sharing else 0, local, beside)
    return Session(out, settings, ledger, clips, todo, None if phases else services, engaged)


async def _start(stack: AsyncExitStack, context: Any) -> Any:
    try:
        return await stack.enter_async_context(context)
    except RunStopped:
        raise
    except MerrflowError as error:
        raise InputError(str(error)) from error


async def _mend_pictures(clips: list[Clip], ledger: Ledger, pictures: Pictures, say: Callable[[str], None]) -> None:
    """Makes the pictures again that finished clips have lost: now, when many can be made at once and the run can still
    be stopped. Those that are there but damaged are found when the outputs are written."""
    if not (lost := await asyncio.to_thread(lambda: pictures.lost(ledger.described()) & {one.name for one in clips})):
        return
    say(f"making {len(lost)} lost picture{'s' if len(lost) > 1 else ''} of peak frames again")
    for some in batched(entries(ledger, lost), os.cpu_count() or 1):
        await asyncio.gather(*(asyncio.to_thread(pictures.mend, entry.record) for entry in some))


@growing_heap()
def _todo(clips: list[Clip], ledger: Ledger, keys: CacheKeys) -> list[Clip]:
    """The clips whose work is not complete."""
    finished = ledger.finished([clip.name for clip in clips])
    listed: dict[str, Listing] = {}

    def is_done(clip: Clip) -> bool:
        try:
            return clip.name in finished and keys.is_done(clip, finished[clip.name], listed)
        except OSError:  # of a file beside the clip: the clip's own try finds out
            return False

    return [clip for clip in clips if not is_done(clip)]


def _made(make: Callable[..., Made], *arguments: Any) -> Made:
    """What `make` returns. Raises `InputError` if a file or an engine that the user chose cannot be used."""
    try:
        return make(*arguments)
    except (DataFileError, MerrflowError) as error:
        raise InputError(str(error)) from error


def _check_witnesses(settings: RunSettings, rules: RuleSet) -> None:
    """A file for other labels is used all the same: a witness that knows nothing of a label abstains."""
    if unknown := _made(load_witnesses, settings.witnesses).unknown(rules.labels):
        log.warning(
            "witnesses %s: made for other labels than the rule set %s: nothing is said of %s, on which all witnesses "
            "abstain",
            settings.witnesses,
            rules.title,
            listed(unknown),
        )


def _check_labels(rules: RuleSet, found: list[Found]) -> None:
    for clip in found:
        try:
            if clip.label:
                rules.normal(clip.label)
        except UnknownLabel as error:
            raise InputError(f"{clip.row}: {error}") from error


def _ledger(settings: RunSettings, out: Path, *, make: bool = True) -> Ledger:
    try:
        return Ledger.in_folder(out, settings.ledger_url, make=make)
    except (SQLAlchemyError, ImportError) as error:
        where = "the ledger_url setting" if settings.ledger_url else out / "ledger.db"
        raise InputError(f"the ledger cannot be opened ({where}): {advice(error)}") from error


def _common_root(clips: list[Clip]) -> Path | None:
    """The folder above all clips, if the embedded services may be allowed to read from it by path."""
    root = Path(os.path.commonpath([clip.path.parent.resolve() for clip in clips]))
    return None if root == Path(root.anchor) or ":" in str(root) else root
