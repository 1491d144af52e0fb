"""`annotate`: a whole run, from Python or the command line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from merrflow.session import Request, Session, Summary, open_session

# A run started by hand speaks for itself; Prefect's own log lines would only stand in between. The embedded
# Prefect server makes its database at first use, which takes longer than its default patience on small machines.
PREFECT_DEFAULTS = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR",
    "PREFECT_LOGGING_SERVER_LEVEL": "ERROR",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "PREFECT_CLIENT_METRICS_ENABLED": "false",
}


def annotate(
    clips: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    transcripts: str | Path | None = None,
    config: str | Path | None = None,
    **settings: Any,
) -> Summary:
    """Turns clips into MERR records in the folder `out`, and returns how it went.

    clips: video files, folders, or CSV tables with a column `path`; one or several.
    transcripts: a CSV with the columns `name` and `sentence`. config: a YAML file with settings.
    settings: single settings, such as `neutral_sample=1.0` (see `merrflow.settings.RunSettings`).
    Raises `merrflow.inputs.InputError` for unusable arguments. Works inside a notebook too.
    """
    inputs = [clips] if isinstance(clips, str | Path) else list(clips)
    request = Request(
        inputs=tuple(str(item) for item in inputs),
        out=str(out),
        transcripts=str(transcripts) if transcripts else None,
        config=str(config) if config else None,
        overrides=settings,
    )
    with ThreadPoolExecutor(1) as thread:  # a notebook's own event loop is in the way otherwise
        return thread.submit(lambda: asyncio.run(annotate_request(request))).result()


async def annotate_request(
    request: Request,
    *,
    say: Callable[[str], None] = lambda text: None,
    on_start: Callable[[Session], None] = lambda session: None,
) -> Summary:
    """One run. say: told what is waited for. on_start: told the session before its first clip."""
    async with open_session(request, say) as session:
        on_start(session)
        if session.todo:
            say("starting the Prefect flow while the models load")
            for name, value in PREFECT_DEFAULTS.items():
                os.environ.setdefault(name, value)
            from merrflow.flow import annotate_flow

            await annotate_flow(list(request.inputs), str(session.out), request.transcripts, request.config)
        return session.summary or await asyncio.to_thread(session.write_outputs)
