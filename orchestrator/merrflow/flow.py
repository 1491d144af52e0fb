"""The Prefect flow: one task for each shard of clips, with progress, a table of outcomes and links.

Prefect holds runs, schedules and progress; which clip is done is known to the ledger alone. So a task is a
shard, never a clip (a task run costs tens of milliseconds and a megabyte), and a run that was killed goes on
where the ledger ends.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import httpx
from prefect import flow, get_run_logger, task
from prefect.artifacts import (
    acreate_link_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)

from merrflow.clients import ServiceGone
from merrflow.session import Request, Session, Summary, open_session
from merrflow.types import Outcome

PROGRESS_SECONDS = 2.0  # between two updates of the progress artifact; one costs 12 ms
SHARDS_AT_ONCE = 2  # so that the services stay busy while a shard runs out of clips
TABLE_ROWS = 500
LOGGED_PROBLEMS = 100


@flow(name="annotate", flow_run_name="annotate into {out}", persist_result=False)
async def annotate_flow(
    inputs: list[str],
    out: str,
    transcripts: str | None = None,
    config: str | None = None,
    labels: str | None = None,
    action_units: str | None = None,
) -> dict[str, Any]:
    """Turns clips into MERR records.

    inputs: video files, folders of them, or CSV tables with a column `path`.
    out: the folder for the records, the report and the ledger; a second run there does only what is missing.
    transcripts: a CSV with the columns `name` and `sentence`, or MERR's JSON.
    config: a YAML file with settings.
    labels: a CSV with the columns `name` and `label`, or MERR's JSON or TXT.
    action_units: a folder of OpenFace's CSVs, or MERR's JSON, where Action Units are known already.
    """
    request = Request(tuple(inputs), out, transcripts, config, labels, action_units)
    async with open_session(request) as session:
        await session.wait_ready()
        try:
            await _run_shards(session)
        finally:  # what is done is written out, however the shards ended
            summary = await asyncio.to_thread(session.write_outputs)
        for name, reason in summary.problems[:LOGGED_PROBLEMS]:
            get_run_logger().warning("%s failed: %s", name, reason)
        await _publish(session, summary)
    return {
        "outcomes": summary.outcomes,
        "labels": summary.labels,
        "coarse": summary.coarse,
        "fine": summary.fine,
    }


@task(name="annotate-shard", task_run_name="shard-{number}-of-{total}", persist_result=False)
async def annotate_shard(out: str, number: int, total: int, names: list[str]) -> dict[str, int]:
    """Takes a shard's clips to their outcomes; returns how many came to which."""
    log = get_run_logger()
    async with open_session(Request((), out)) as session:
        log.info("shard %d of %d: %d clips", number, total, len(names))
        counts = dict(await session.annotate(names))
        log.info("shard %d of %d: %s", number, total, ", ".join(f"{count} {word}" for word, count in counts.items()))
    return counts


async def _run_shards(session: Session) -> None:
    names = [clip.name for clip in session.todo]
    size = session.settings.shard_size
    shards = [names[start : start + size] for start in range(0, len(names), size)]
    meter = await _Meter.start(session, len(names))
    turns = asyncio.Semaphore(SHARDS_AT_ONCE)

    async def one(number: int, shard: list[str]) -> None:
        async with turns:
            await annotate_shard(str(session.out), number, len(shards), shard)

    try:
        async with asyncio.TaskGroup() as group:
            for number, shard in enumerate(shards, 1):
                group.create_task(one(number, shard))
    except* ServiceGone as gone:
        raise gone.exceptions[0] from None
    finally:
        await meter.stop()


class _Meter:
    """Keeps the run's progress artifact up to date, at most every few seconds."""

    def __init__(self, artifact: Any, total: int) -> None:
        self._artifact = artifact
        self._total = total
        self._done = 0
        self._shown = -1
        self._task = asyncio.create_task(self._update())

    @classmethod
    async def start(cls, session: Session, total: int) -> _Meter:
        artifact = await acreate_progress_artifact(
            progress=0.0, key="merrflow-progress", description=f"{total} clips into {session.out}"
        )
        meter = cls(artifact, total)
        before = session.on_clip

        def on_clip(name: str, outcome: Outcome) -> None:
            meter._done += 1
            before(name, outcome)

        session.on_clip = on_clip
        return meter

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._show()

    async def _update(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            await self._show()

    async def _show(self) -> None:
        if self._done != self._shown:
            self._shown = self._done
            percent = 100.0 * self._done / self._total if self._total else 100.0
            with suppress(httpx.HTTPError):  # a server that is away must not stop the clips
                await aupdate_progress_artifact(self._artifact, progress=percent)


async def _publish(session: Session, summary: Summary) -> None:
    """The table of outcomes and the link to the report, beside the run in Prefect's UI."""
    counts = [{"what": "clips", "how many": summary.clips}]
    counts += [{"what": f"outcome: {name}", "how many": count} for name, count in summary.outcomes.items()]
    counts += [{"what": f"label: {name}", "how many": count} for name, count in summary.labels.items()]
    counts += [
        {"what": "coarse-grained records", "how many": summary.coarse},
        {"what": "fine-grained records", "how many": summary.fine},
    ]
    await acreate_table_artifact(table=counts, key="merrflow-outcomes", description="How the clips came out")
    rows = await asyncio.to_thread(session.table, TABLE_ROWS)
    await acreate_table_artifact(table=rows, key="merrflow-clips", description=f"Clip by clip (the first {TABLE_ROWS})")
    await acreate_link_artifact(
        link=(summary.out / "report.html").as_uri(),
        link_text="report.html",
        key="merrflow-report",
        description=f"All results are in {summary.out}, finished {time.strftime('%Y-%m-%d %H:%M')}",
    )
