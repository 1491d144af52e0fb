"""What Prefect's UI shows beside a run: its progress, tables of outcomes, a link to the report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
from prefect import get_run_logger
from prefect.artifacts import (
    acreate_link_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.exceptions import PrefectException

from merrflow.datasets.outputs import Summary
from merrflow.pipeline.session import Session

PROGRESS_SECONDS = 2.0  # between two updates of the progress artifact; one costs 12 ms
SHOW_SECONDS = 20.0  # for a server to take what is shown
TABLE_ROWS = 500


@asynccontextmanager
async def progress(
    session: Session, total: int, finished: Callable[[], Awaitable[int]] | None = None, *, description: str
) -> AsyncIterator[None]:
    """Updates a progress artifact every few seconds. finished: returns how many clips are done, if other processes
    do them."""
    artifact = None
    async with if_prefect_answers():
        artifact = await acreate_progress_artifact(progress=0.0, key="merrflow-progress", description=description)
    done, shown = 0.0, -1.0

    def advance(clips: float) -> None:
        nonlocal done
        done += clips

    async def show() -> None:
        nonlocal shown
        count = min(await finished(), total) if finished else done
        if count != shown and artifact:
            shown = count
            async with if_prefect_answers():
                await aupdate_progress_artifact(artifact, progress=100.0 * count / total if total else 100.0)

    async def update() -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            await show()

    with session.advanced.connected(advance):
        updating = asyncio.create_task(update())
        try:
            yield
        finally:
            updating.cancel()
            await asyncio.gather(updating, return_exceptions=True)
            await show()


@asynccontextmanager
async def if_prefect_answers() -> AsyncIterator[None]:
    """Only for what is shown: a server that is away or does not answer must not stop the clips."""
    try:
        async with asyncio.timeout(SHOW_SECONDS):
            yield
    except (httpx.HTTPError, PrefectException, TimeoutError) as error:
        get_run_logger().debug("Prefect's server is away: %s", error)


async def publish(session: Session, summary: Summary) -> None:
    """The table of outcomes and the link to the report, beside the run in Prefect's UI."""
    counts = [{"what": "clips", "how many": summary.clips}]
    counts += [{"what": f"outcome: {name}", "how many": count} for name, count in summary.outcomes.items()]
    counts += [{"what": f"label: {name}", "how many": count} for name, count in summary.labels.items()]
    counts += [
        {"what": "coarse-grained records", "how many": summary.coarse},
        {"what": "fine-grained records", "how many": summary.fine},
        {"what": "to try again", "how many": summary.try_again},
        {"what": "unfinished", "how many": summary.unfinished},
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
