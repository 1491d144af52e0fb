"""`annotate`: a whole run, from Python or the command line."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import httpx

from merrflow.core.arguments import as_path, as_paths
from merrflow.core.errors import InputError, stop_in, writing_outputs
from merrflow.core.proxies import keep_loopback_direct
from merrflow.datasets.outputs import Summary
from merrflow.flow.termination import Termination, termination_cancels
from merrflow.flow.trouble import trouble
from merrflow.flow.work import Work
from merrflow.pipeline.open_session import open_session
from merrflow.pipeline.request import Request
from merrflow.pipeline.session import Session

# A run started by hand reports its own progress, so Prefect's lines on the console are turned off. Its server creates
# its database at first use, which on small machines takes longer than its default timeout.
PREFECT_DEFAULTS = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_CLIENT_METRICS_ENABLED": "false",
    # A server that hangs is retried for 1.5 minutes, one that is gone for 14 s. With Prefect's defaults it would be 6
    # minutes per request, during which a finished run could not end.
    "PREFECT_API_REQUEST_TIMEOUT": "20",
    "PREFECT_CLIENT_MAX_RETRIES": "3",
}
HEAD_START_SECONDS = 1.5  # of the first clip: the import of Prefect takes as much of the interpreter
PUBLISH_SECONDS = 60.0  # for Prefect's tables and last state, after the outputs are written
log = logging.getLogger(__name__)


def annotate(
    clips: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    transcripts: str | Path | None = None,
    config: str | Path | None = None,
    labels: str | Path | None = None,
    action_units: str | Path | None = None,
    **settings: Any,
) -> Summary:
    """Turns clips into MERR records in the folder `out`, and returns a summary.

    clips: video files, folders, or CSV tables with a column `path`; one or several.
    transcripts: a CSV with the columns `name` and `sentence`, or MERR's JSON. config: a YAML file with settings.
    labels: a CSV with the columns `name` and `label`, or MERR's JSON or TXT. action_units: precomputed Action
    Units: a folder of OpenFace CSVs, or MERR's JSON.
    settings: single settings, such as `neutral_sample=1.0` (see `merrflow.core.settings.RunSettings`).
    Raises `merrflow.core.errors.InputError` for unusable arguments. Works in a notebook too. Interrupting it loses
    nothing.
    """
    request = Request(
        inputs=tuple(map(str, as_paths("clips", clips))),
        out=str(as_path("out", out)),
        transcripts=_optional("transcripts", transcripts),
        config=_optional("config", config),
        labels=_optional("labels", labels),
        action_units=_optional("action_units", action_units),
        overrides=settings,
    )
    # A loop in a thread of its own, because a notebook already runs an event loop in this one.
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="merrflow", daemon=True)
    thread.start()
    run = asyncio.run_coroutine_threadsafe(annotate_request(request), loop)
    try:
        return run.result()
    except KeyboardInterrupt:
        run.cancel()
        raise
    finally:
        asyncio.run_coroutine_threadsafe(_settled(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        if not thread.is_alive():  # else something blocks the loop, and it cannot be closed
            loop.close()


def _optional(name: str, path: str | Path | None) -> str | None:
    return None if path is None else str(as_path(name, path))


async def _settled() -> None:
    """Returns once all other tasks have ended, so that services are stopped and files closed."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait(others, timeout=50) if others else None


async def annotate_request(
    request: Request,
    *,
    say: Callable[[str], None] = lambda text: None,
    on_start: Callable[[Session], None] = lambda session: None,
) -> Summary:
    """One run. say: called with what is being waited for. on_start: called with the session before its first clip."""
    keep_loopback_direct()
    await _check_prefect()
    with termination_cancels() as termination:
        async with open_session(request, say) as session:
            on_start(session)
            if session.todo:
                session.raise_if_broken()
                say("waiting for the models")
                await _work(session, request, termination, say)
            if session.summary:
                return session.summary
            with writing_outputs(session.out):
                return await asyncio.to_thread(session.write_outputs)


async def _work(session: Session, request: Request, termination: Termination, say: Callable[[str], None]) -> None:
    """The work, and beside it the flow that shows it, which ends at most PUBLISH_SECONDS after it."""
    work = Work(session)
    showing = asyncio.create_task(_show(work, request, termination, say))
    try:
        await work.over()
    except Exception as error:
        if stop := stop_in(error):
            raise stop from error
        raise
    except asyncio.CancelledError:
        if not work.is_shown:  # Prefect's server is not there yet, and nobody waits for it
            showing.cancel()
        raise
    finally:
        await work.stop()
        if not (showing.done() or work.is_shown or showing.cancelling()):
            say("waiting for Prefect's server, which is to show this run")
        await asyncio.wait({showing}, timeout=PUBLISH_SECONDS)
        showing.cancel()
        await asyncio.wait({showing})


async def _show(work: Work, request: Request, termination: Termination, say: Callable[[str], None]) -> None:
    """The flow. If Prefect fails, the work goes on."""
    try:
        await _run_flow(work, request, termination)
    except Exception as error:
        log.debug("flow", exc_info=True)
        if not work.has_failed:  # else it is the error of the work
            say(f"Prefect is gone ({trouble(error)}); continuing without it")
    finally:
        work.unwatch()


async def _run_flow(work: Work, request: Request, termination: Termination) -> None:
    await work.first_outcome(HEAD_START_SECONDS)
    annotate_in, own_server = await asyncio.to_thread(_prefect)
    async with own_server(work.session.settings.prefect_idle_seconds):
        await annotate_in(work, request, termination.undisturbed)


def _prefect() -> tuple[Any, Any]:
    """What needs Prefect. Its import takes a second or two, in which the work goes on."""
    for name, value in PREFECT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():  # it warns if the home directory cannot be written; its server then says so
        warnings.filterwarnings("ignore", message="Failed to create the Prefect home directory")
        # Prefect reads its settings from the environment when it is imported.
        from merrflow.flow.annotate import annotate_in
        from merrflow.flow.own_server import own_server

    return annotate_in, own_server


async def _check_prefect() -> None:
    """Raises `InputError` if a Prefect server is set that does not answer."""
    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            (await client.get(f"{url.rstrip('/')}/health")).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise InputError(
            f"Prefect's server does not answer at {url} ({trouble(error)}): start it with `merrflow prefect`, "
            "or unset PREFECT_API_URL to run without it"
        ) from error
