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
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from functools import wraps
from typing import Annotated, Any, Literal

from prefect import Flow, flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from pydantic import Field

from merrflow.core.errors import ungrouped, writing_outputs
from merrflow.datasets.outputs import Summary
from merrflow.flow import shards
from merrflow.flow.artifacts import if_prefect_answers, publish
from merrflow.flow.progress import progress
from merrflow.flow.run_log import Tenths
from merrflow.flow.service_tasks import leftovers_ended, service_tasks
from merrflow.flow.work import Shard, Work, split, working
from merrflow.pipeline.open_session import open_session, open_shard
from merrflow.pipeline.request import Request
from merrflow.pipeline.session import Session

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
    work: Work, request: Request, undisturbed: Callable[[], AbstractContextManager[None]] = nullcontext
) -> None:
    """The same flow over work that has begun in this process. Its parameters are only shown.

    undisturbed: keeps Prefect's handler of SIGTERM away while the clips are worked on (termination.py).
    """

    @wraps(annotate_flow.fn)
    async def annotate_open(*args: Any, **kwargs: Any) -> dict[str, Any]:
        with undisturbed():
            return await _show_all(work)

    inputs = list(request.inputs)
    if len(json.dumps(inputs)) > PARAMETER_BYTES:
        inputs = [*inputs[:20], f"and {len(inputs) - 20} more"]
    shown = inspect.signature(annotate_flow.fn).parameters
    run: Flow[..., Any] = Flow(
        annotate_open, name=annotate_flow.name, flow_run_name="annotate into {out}", persist_result=False
    )
    await run(
        inputs,
        str(work.session.out),
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
    if not session.is_handed_out:
        async with working(session) as work:
            return await _show_all(work)
    await session.wait_ready()
    try:
        await _hand_out(session, request)
    finally:  # however the shards ended, what is done is written out
        with writing_outputs(session.out):
            summary = await asyncio.to_thread(session.write_outputs)
    return await _published(session, summary)


async def _show_all(work: Work) -> dict[str, Any]:
    """Shows work that may have begun before, until its end. Raises what stopped it."""
    _show_lines(work)
    async with progress(work.total, work.finished, description=work.what):
        with ungrouped():
            async with asyncio.TaskGroup() as group:
                async for shard in work.shards():
                    group.create_task(annotate_shard(shard, shard.number, shard.total))
    summary = await work.over()
    assert summary, "it is this work that writes the outputs"
    return await _published(work.session, summary)


def _show_lines(work: Work) -> None:
    """The lines of the work in the log of this flow run, those of before too."""
    log, context = get_run_logger(), copy_context()  # by which Prefect knows the server, also where others call
    work.lines.to(lambda level, line: context.run(log.log, level, "%s", line))


async def _published(session: Session, summary: Summary) -> dict[str, Any]:
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
async def annotate_shard(shard: Shard, number: int, total: int) -> dict[str, int]:
    """Shows a shard until its clips are at their outcomes, or as far as possible without the absent services. Returns
    the number of clips by outcome."""
    return await _show_shard(shard, f"shard {number} of {total}" if total > 1 else "")


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
            async with working(session, f"shard {number} of {total}", writes=False) as work:
                return await _show_one(work)


async def _show_one(work: Work) -> dict[str, int]:
    counts: Counter[str] = Counter()
    _show_lines(work)
    async with progress(work.total, work.finished, description=work.what):
        async for shard in work.shards():
            counts.update(await _show_shard(shard, ""))
    await work.over()
    return dict(counts)


async def _show_shard(shard: Shard, part: str) -> dict[str, int]:
    """part: which shard, for names of task runs, if several are in one flow run."""
    log = get_run_logger()
    log.info("shard %d of %d: %d clips", shard.number, shard.total, len(shard.names))
    async with service_tasks(shard.progress, part=part):
        counts = await shard.over()
    found = ", ".join(f"{count} {word}" for word, count in counts.items())
    log.info("shard %d of %d: %s", shard.number, shard.total, found)
    return counts


async def _hand_out(session: Session, request: Request) -> None:
    """The shards as flow runs, for all workers."""
    parts = split(session, [clip.name for clip in session.todo])
    total = len(session.todo)
    what = f"{total} clips in {len(parts)} shards"
    get_run_logger().info("%d clips in %d shards for the workers of this pool", total, len(parts))

    before = await asyncio.to_thread(session.outcomes)
    tenths = Tenths(get_run_logger(), total, what)

    async def finished() -> int:
        done = await asyncio.to_thread(session.outcomes) - before
        tenths.at(min(done, total))
        return done

    async with progress(total, finished, description=what):
        await shards.hand_out(request, parts)
