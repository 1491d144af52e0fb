"""What the pages that merrflow serves have in common: their files, and how their server is set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.types import ASGIApp

from merrflow.datasets.pages import asset

END_SECONDS = 3  # that an answer on its way, such as a long clip, may take when the server ends
_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


def page_app(
    title: str, page: str, files: Mapping[str, str], errors: Mapping[type[Exception], tuple[int, str]]
) -> FastAPI:
    """An application with its page at / and files under /static/.

    files: the name of each, and the package that it is in. errors: how each is answered, by code and sentence.
    """
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    def show() -> HTMLResponse:
        return HTMLResponse(page)

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "there is no such file")
        return Response(asset(files[name], name), media_type=_KINDS[Path(name).suffix])

    def answered(request: Request, error: Exception) -> Response:
        code, detail = errors[type(error)]
        return JSONResponse({"detail": detail}, code)

    for kind in errors:
        app.add_exception_handler(kind, answered)
    return app


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
