"""`merrflow worker`: registers the deployments, runs Prefect's worker, and watches for zombie runs."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from merrflow.core.errors import InputError
from merrflow.core.proxies import keep_loopback_direct
from merrflow.core.settings_file import load_settings
from merrflow.core.writable import check_writable
from merrflow.flow.names import POOL
from merrflow.flow.report_server import ReportServer
from merrflow.flow.trouble import may_pass, trouble
from merrflow.flow.worker_process import STOP_SECONDS

PAUSE_SECONDS = 1.0  # between two questions to a server that is away
LEAST_PLACES = 2  # a run that waits for its shards takes one


@dataclass(frozen=True)
class WorkerOptions:
    """The options of `merrflow worker`."""

    pool: str = POOL
    kind: str = "process"
    limit: int = LEAST_PLACES
    job_template: Path | None = None
    register_only: bool = False
    inputs: str = ""
    out: str = ""
    reports: ReportServer | None = None  # None: it serves no reports


async def work(options: WorkerOptions, say: Callable[[str], None]) -> int:
    """Works until SIGTERM or SIGINT; returns the exit code. Raises `InputError`."""
    if options.limit < LEAST_PLACES:
        raise InputError(f"--limit must be at least {LEAST_PLACES}: a run that waits for its shards takes one place")
    if options.out and options.kind == "process":  # other kinds write where their jobs run
        check_writable(Path(options.out), "--out")
    keep_loopback_direct()
    url = os.environ.setdefault("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    # The server must know that a worker is gone before its shard goes to another (zombie_runs.py).
    os.environ.setdefault("PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR", "reschedule")
    settings = load_settings()
    reports_url = settings.reports_url
    if options.reports:
        reports_url = reports_url or options.reports.url()
        options.reports.tokens(reports_url)  # raises before anything is waited for
        os.environ["MERRFLOW_REPORTS_URL"] = reports_url  # for the flow runs that this worker starts
    await _answer(lambda: _health(url), url, say)
    from merrflow.flow.deployment import register  # imports Prefect, which reads the environment
    from merrflow.flow.reports import serve_reports
    from merrflow.flow.zombie_runs import ZombieRunDetector

    await _answer(
        lambda: register(options.pool, options.kind, options.job_template, options.inputs, options.out), url, say
    )
    say(f"registered annotate/annotate in the work pool {options.pool!r}")
    if options.register_only:
        return 0
    detector = ZombieRunDetector(options.pool, options.kind, settings.ledger_url)
    async with AsyncExitStack() as stack:
        if options.reports:
            await stack.enter_async_context(serve_reports(options.reports, reports_url, options.pool, say))
        return await _run_worker(options, detector.watch(), say)


async def _run_worker(options: WorkerOptions, watch: Coroutine[Any, Any, None], say: Callable[[str], None]) -> int:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "merrflow.flow.worker_process", "--pool", options.pool, "--type", options.kind),
        *("--limit", str(options.limit), "--with-healthcheck", "--install-policy", "never"),
        stdin=asyncio.subprocess.PIPE,  # which ends with this process
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watching = asyncio.create_task(watch)
    ended, stopped = asyncio.create_task(process.wait()), asyncio.create_task(stop.wait())
    await asyncio.wait((ended, stopped, watching), return_when=asyncio.FIRST_COMPLETED)
    watching.cancel()
    stopped.cancel()
    if not ended.done():
        say("stopping; unfinished work continues in another worker, or here after the next start")
        process.terminate()
        try:
            await asyncio.wait_for(ended, STOP_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
        return 0
    return process.returncode or 1  # a worker that ends by itself is restarted by its supervisor


async def _health(url: str) -> None:
    async with httpx.AsyncClient(timeout=10) as client:
        (await client.get(f"{url.rstrip('/')}/health")).raise_for_status()


async def _answer(ask: Callable[[], Awaitable[None]], url: str, say: Callable[[str], None]) -> None:
    """Returns once the server at the URL has answered. Raises `InputError` if it refuses."""
    told = ""
    while True:
        try:
            return await ask()
        except httpx.InvalidURL as error:
            raise InputError(f"PREFECT_API_URL: {url!r} is not a URL ({error})") from error
        except httpx.HTTPError as error:
            if not may_pass(error):
                raise InputError(f"Prefect's server at {url} refuses this worker ({trouble(error)})") from error
            if told != trouble(error):
                told = trouble(error)
                say(f"waiting for Prefect's server at {url} ({told})")
        await asyncio.sleep(PAUSE_SECONDS)
