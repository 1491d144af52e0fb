"""What Prefect's UI shows beside a run once it has ended: tables of outcomes and of clips, a link to the report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from prefect import get_run_logger, runtime
from prefect.artifacts import acreate_link_artifact, acreate_table_artifact
from prefect.exceptions import PrefectException

from merrflow.datasets.outputs import Summary
from merrflow.flow.inert import inert
from merrflow.flow.names import REPORTS
from merrflow.pipeline.session import Session

SHOW_SECONDS = 20.0  # for a server to take what is shown
TABLE_ROWS = 500


@asynccontextmanager
async def if_prefect_answers() -> AsyncIterator[None]:
    """Only for what is shown: a server that is away or does not answer must not stop the clips."""
    try:
        async with asyncio.timeout(SHOW_SECONDS):
            yield
    except (httpx.HTTPError, PrefectException, TimeoutError) as error:
        get_run_logger().debug("Prefect's server is away: %s", error)


def report_link(session: Session, summary: Summary) -> str:
    """Where a browser can open the report: at a worker if one started this run, otherwise the file."""
    served = session.settings.reports_url
    if served and runtime.deployment.id:
        return f"{served}{REPORTS}/{runtime.flow_run.id}"
    return (summary.out / "report.html").as_uri()


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
    table = await asyncio.to_thread(session.table, TABLE_ROWS)
    rows = [{name: inert(text) for name, text in row.items()} for row in table]
    await acreate_table_artifact(table=rows, key="merrflow-clips", description=f"Clip by clip (the first {TABLE_ROWS})")
    link = report_link(session, summary)
    get_run_logger().info("the report: %s", link)
    await acreate_link_artifact(
        link=link,
        link_text="report.html",
        key="merrflow-report",
        description=f"All results are in {summary.out}, finished {time.strftime('%Y-%m-%d %H:%M')}",
    )
