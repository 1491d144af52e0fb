"""What the pages that merrflow serves have in common: their files, and how their server is set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import uvicorn
from fastapi import FastAPI, HTTPException, Response
from starlette.types import ASGIApp

from merrflow.datasets.pages import asset

END_SECONDS = 3  # that an answer on its way, such as a long clip, may take when the server ends
_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


def serve_assets(app: FastAPI, files: Mapping[str, str]) -> None:
    """Under /static/. files: the name of each, and the package that it lies in."""

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "there is no such file")
        return Response(asset(files[name], name), media_type=_KINDS[Path(name).suffix])


def server_config(app: ASGIApp, tls_cert: Path | None, tls_key: Path | None) -> uvicorn.Config:
    """Of a server that prints nothing of its own, says nothing of itself, and ends within `END_SECONDS`."""
    return uvicorn.Config(
        app,
        log_level="warning",
        lifespan="off",
        server_header=False,
        ssl_certfile=tls_cert,
        ssl_keyfile=tls_key,
        timeout_graceful_shutdown=END_SECONDS,
    )
