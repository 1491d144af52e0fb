"""Serves the reports of the runs in Prefect to browsers, read-only, for the link beside each run.

A request names a flow run and nothing else. Prefect says which folder that run wrote into, and of that folder only the
file `report.html` is sent, if it is a regular file. Who may ask: see datasets/review/guard.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import uvicorn
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound, PrefectException
from starlette.applications import Starlette
from starlette.requests import Request as Asked
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from merrflow.core.errors import InputError
from merrflow.datasets.report.build import NAME
from merrflow.datasets.review.guard import Guard
from merrflow.datasets.review.web import server_config
from merrflow.flow.names import REPORTS, TAG
from merrflow.flow.report_server import ReportServer
from merrflow.pipeline.request import Request
from merrflow_serving.credentials import Tokens

CHUNK = 1 << 18  # bytes
# The report allows its own script and style by their hashes. This keeps all else out, and both away from cookies.
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts"
)


def reports_app(pool: str) -> Starlette:
    """The application, to be put behind a `Guard`. pool: the work pool whose runs it knows."""

    async def report(asked: Asked) -> Response:
        try:
            folder = await _folder(asked.path_params["run"], pool)
        except (httpx.HTTPError, PrefectException):
            return PlainTextResponse("Prefect's server does not answer; try again in a moment", 503)
        if folder is None:
            return PlainTextResponse("Prefect knows no such run; its history may have been deleted", 404)
        try:
            file = await asyncio.to_thread(_open, folder / NAME)
        except OSError:
            return PlainTextResponse("this run has no report yet: it is written when the run ends", 404)
        return StreamingResponse(_pieces(file), media_type="text/html")

    return Starlette(routes=[Route(f"{REPORTS}/{{run:uuid}}", report, methods=["GET"])])


async def _folder(run: UUID, pool: str) -> Path | None:
    """The folder of a run of this pool; None if Prefect knows none of this id."""
    async with get_client() as client:
        try:
            found = await client.read_flow_run(run)
        except ObjectNotFound:
            return None
    out = found.parameters.get("out")
    if found.work_pool_name != pool or TAG not in found.tags or not isinstance(out, str):
        return None
    try:
        return Request((), out).folder
    except InputError:
        return None


def _open(path: Path) -> BinaryIO:
    """Raises `OSError` for anything but a regular file: a link leads out of the folder, a pipe would never end."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise FileNotFoundError(path)
    return os.fdopen(number, "rb")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(CHUNK):
            yield piece


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the worker has handlers of its own


@asynccontextmanager
async def serve_reports(options: ReportServer, url: str, pool: str, say: Callable[[str], None]) -> AsyncIterator[None]:
    """Serves while the block lasts. url: where people open it. Raises `InputError`, `InvalidInput`.

    A port that is taken is no error: on a machine with several workers, the first one serves the reports of all.
    """
    tokens = options.tokens(url)
    sock = _listen(options, say)
    if sock is None:
        yield
        return
    hosts = {urlsplit(one).netloc.lower() for one in (url, options.url(), f"http://localhost:{options.port}")}
    app = Guard(
        reports_app(pool),
        () if tokens else hosts,
        Tokens(tokens),
        options.tls_cert is not None or url.startswith("https:"),
        policy=POLICY,
        is_door=lambda path: path.startswith(f"{REPORTS}/"),
    )
    server = _Server(server_config(app, options.tls_cert, options.tls_key))
    with sock:
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        say(f"reports of the runs are served at {url}")
        try:
            yield
        finally:
            server.handle_exit(signal.SIGTERM, None)
            await asyncio.gather(serving, return_exceptions=True)


def _listen(options: ReportServer, say: Callable[[str], None]) -> socket.socket | None:
    try:
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        return socket.create_server((options.host, options.port), family=family)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        say(
            f"reports are not served by this worker: cannot listen at {options.host}:{options.port} ({why}); another "
            "worker may do so already, or choose another --reports-port"
        )
        return None
