"""The Prefect flow: shards of clips, with progress, a table of outcomes and links.

Prefect keeps runs, schedules and progress; only the ledger knows which clip is done. So a task is a shard, never a
clip (a task run costs tens of milliseconds and a megabyte), and a run that was killed continues where the ledger
ends. In a deployment, a run of more than one shard hands its shards to all workers of the pool, each as a flow run
of its own; otherwise they are tasks in this process.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Annotated, Any, Literal

from prefect import Flow, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from merrflow.core.errors import ungrouped, writing_outputs
from merrflow.flow import shards
from merrflow.flow.artifacts import if_prefect_answers, publish
from merrflow.flow.progress import progress
from merrflow.flow.run_log import logged_events
from merrflow.flow.service_tasks import leftovers_ended, service_tasks
from merrflow.pipeline.open_session import open_session, open_shard
from merrflow.pipeline.pause import Round
from merrflow.pipeline.request import Request
from merrflow.pipeline.session import Session

SHARDS_AT_ONCE = 2  # so that the services stay busy while a shard runs out of clips
LOGGED_PROBLEMS = 100
PARAMETER_BYTES = 100_000  # Prefect refuses parameters above 512 KiB


@flow(name="annotate", flow_run_name="annotate into {out}", persist_result=False)
async def annotate_flow(
    inputs: list[str],
    out: str,
    transcripts: str | None = None,
    labels: str | None = None,
    action_units: str | None = None,
    config: str | None = None,
    rules: str | None = None,
    labels_from: Literal["rules", "model"] | None = None,
    witnesses: str | None = None,
    witness: str | None = None,
    label_scores: Literal["modalities", "all", "none"] | None = None,
    translate: Literal["en", "off"] | None = None,
    neutral_sample: Annotated[float, Field(ge=0, le=1)] | None = None,
    seed: int | None = None,
    shard_size: Annotated[int, Field(ge=1, le=1000)] | None = None,
    allow_remote: bool | None = None,
) -> dict[str, Any]:
    """Turns clips into MERR records: faces, scene, tone, subtitle, and the emotion they point to.

    A second run into the same folder does only what is missing. Stopping a run loses nothing.

    Args:
        inputs: Video files, folders of them, or CSV tables with a column `path`, as the workers see them.
        out: The folder for the records, the report and the ledger; one per dataset.
        transcripts: A CSV with the columns `name` and `sentence`, or MERR's JSON. Empty: sidecar files and burned-in
            subtitles are read.
        labels: Known labels: a CSV with the columns `name` and `label`, or MERR's JSON or TXT.
        action_units: Precomputed Action Units: a folder of OpenFace CSVs, or MERR's JSON.
        config: A YAML file with further settings.
    """
    # The other fields of the form are described by the settings themselves (deployment.py).
    settings = {
        "rules": rules,
        "labels_from": labels_from,
        "witnesses": witnesses,
        "witness": witness,
        "label_scores": label_scores,
        "translate": translate,
        "neutral_sample": neutral_sample,
        "seed": seed,
        "shard_size": shard_size,
        "allow_remote": allow_remote,
    }
    given = {name: value for name, value in settings.items() if value not in (None, "")}  # "": a field of the form
    request = Request(
        tuple(inputs),
        out,
        transcripts=transcripts or None,
        config=config or None,
        labels=labels or None,
        action_units=action_units or None,
        overrides=given,
    )
    async with shards.alive(request):
        await shards.wait_for_earlier(request)
        await leftovers_ended()
        async with open_session(request, hand_out=shards.is_deployed()) as session:
            return await _annotate_all(session, request)


async def annotate_in(
    session: Session, request: Request, undisturbed: Callable[[], AbstractContextManager[None]] = nullcontext
) -> None:
    """The same flow over a session that is already open in this process. Its parameters are only shown.

    undisturbed: keeps Prefect's handler of SIGTERM away while the clips are worked on (termination.py).
    """

    @wraps(annotate_flow.fn)
    async def annotate_open(*args: Any, **kwargs: Any) -> dict[str, Any]:
        with undisturbed():
            return await _annotate_all(session, request)

    inputs = list(request.inputs)
    if len(json.dumps(inputs)) > PARAMETER_BYTES:
        inputs = [*inputs[:20], f"and {len(inputs) - 20} more"]
    shown = inspect.signature(annotate_flow.fn).parameters
    run: Flow[..., Any] = Flow(
        annotate_open, name=annotate_flow.name, flow_run_name="annotate into {out}", persist_result=False
    )
    await run(
        inputs,
        str(session.out),
        request.transcripts,
        request.labels,
        request.action_units,
        request.config,
        **{name: _shown(value) for name, value in request.overrides.items() if name in shown},
    )


def _shown(value: Any) -> Any:
    """A setting as the form has it: a list, such as of witnesses, in one text."""
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


async def _annotate_all(session: Session, request: Request) -> dict[str, Any]:
    await session.wait_ready()
    try:
        await (_hand_out if session.is_handed_out else _run_shards)(session, request)
    finally:  # however the shards ended, what is done is written out
        with writing_outputs(session.out):
            summary = await asyncio.to_thread(session.write_outputs)
    for name, reason in summary.problems[:LOGGED_PROBLEMS]:
        get_run_logger().warning("%s failed: %s", name, reason)
    async with if_prefect_answers():
        await publish(session, summary)
    return {
        "outcomes": summary.outcomes,
        "labels": summary.labels,
        "coarse": summary.coarse,
        "fine": summary.fine,
    }


@annotate_flow.on_cancellation
async def _cancel_shards(flow: Any, flow_run: Any, state: Any) -> None:
    await shards.cancel(flow_run)


@task(
    name="annotate-shard",
    task_run_name="shard-{number}-of-{total}",
    persist_result=False,
    cache_policy=NO_CACHE,  # the ledger is the cache, and a session cannot be hashed
)
async def annotate_shard(
    session: Session, number: int, total: int, names: list[str], absent: frozenset[str] = frozenset()
) -> dict[str, int]:
    """Takes a shard's clips to their outcomes, or as far as possible without the absent services. Returns the number
    of clips by outcome."""
    part = f"shard {number} of {total}" if total > 1 else ""
    return await _annotate(session, number, total, names, absent, part)


@flow(name="annotate-shard", flow_run_name="shard {number} of {total} into {out}", persist_result=False)
async def annotate_shard_flow(
    out: str, number: int, total: int, names: list[str], request: dict[str, Any]
) -> dict[str, int]:
    """A part of a large run, started by the flow `annotate`. There is no need to start it by hand.

    Args:
        out: The folder of the dataset.
        number: Which shard this is.
        total: Of how many.
        names: The clips of this shard, as the run registered them.
        request: What the run was asked to do.
    """
    asked = shards.request_from(request)
    async with shards.alive(asked):
        await leftovers_ended()
        async with open_shard(asked, names) as session:
            await session.wait_ready()
            with logged_events(session):
                async with progress(session, len(session.todo), description=f"shard {number} of {total}"):
                    return await _annotate(session, number, total, names)


async def _annotate(
    session: Session,
    number: int,
    total: int,
    names: list[str],
    absent: frozenset[str] = frozenset(),
    part: str = "",
) -> dict[str, int]:
    """part: which shard, for names of task runs, if several are in one flow run."""
    log = get_run_logger()
    log.info("shard %d of %d: %d clips", number, total, len(names))
    async with service_tasks(session, names, absent, part=part):
        counts = dict(await session.annotate(names, absent))
    log.info("shard %d of %d: %s", number, total, ", ".join(f"{count} {word}" for word, count in counts.items()))
    return {str(outcome): count for outcome, count in counts.items()}


def _split(session: Session, names: Sequence[str]) -> list[list[str]]:
    size = session.settings.shard_size
    return [list(names[start : start + size]) for start in range(0, len(names), size)]


async def _run_shards(session: Session, request: Request) -> None:
    """The shards as tasks in this process; if services share a GPU, again in each phase."""
    total = len(session.todo)
    with logged_events(session):
        async with progress(session, total, description=f"{total} clips into {session.out}"):
            async for one in session.rounds():
                await _run_round(session, one)


async def _run_round(session: Session, clips: Round) -> None:
    parts = _split(session, clips.names)
    places = asyncio.Semaphore(SHARDS_AT_ONCE)

    async def one(number: int, shard: list[str]) -> None:
        async with places:
            await annotate_shard(session, number, len(parts), shard, clips.absent)

    with ungrouped():
        async with asyncio.TaskGroup() as group:
            for number, shard in enumerate(parts, 1):
                group.create_task(one(number, shard))


async def _hand_out(session: Session, request: Request) -> None:
    """The shards as flow runs, for all workers."""
    parts = _split(session, [clip.name for clip in session.todo])
    total = len(session.todo)
    get_run_logger().info("%d clips in %d shards for the workers of this pool", total, len(parts))

    before = await asyncio.to_thread(session.outcomes)

    async def finished() -> int:
        return await asyncio.to_thread(session.outcomes) - before

    async with progress(session, total, finished, description=f"{total} clips in {len(parts)} shards"):
        await shards.hand_out(request, parts)
