"""Requests that SQLite refused are asked again, whole, and nobody sees the refusals."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from merrflow.flow.busy_database import BODY_BYTES, AskedAgain


class Database:
    """An application that answers as Prefect's: the handler of an exception answers 503, and Starlette raises it on."""

    def __init__(self, refusals: int, refused: type[Exception] = RuntimeError, *, status: int = 503) -> None:
        self.bodies: list[bytes] = []
        self._refusals = refusals
        self._refused = refused
        api = Starlette(
            routes=[Route("/runs", self._create, methods=["GET", "POST"])],
            exception_handlers={Exception: lambda request, error: JSONResponse({"busy": True}, status)},
        )
        self.app = Starlette(routes=[Mount("/api", api)])

    async def _create(self, request: Request) -> JSONResponse:
        self.bodies.append(await request.body())
        if len(self.bodies) <= self._refusals:
            raise self._refused
        return JSONResponse({"path": request.url.path}, 201)


def asked(database: Database, method: str = "POST", body: bytes = b"run", waits: tuple[float, ...] = (0, 0, 0)):
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(AskedAgain(database.app, waits), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://prefect") as client:
            return await client.request(method, "/api/runs", content=body)

    return asyncio.run(ask())


@pytest.mark.parametrize("refusals", range(5))
def test_what_was_refused_is_asked_again_with_its_body(refusals):
    database = Database(refusals)
    answer = asked(database, body=b"x" * BODY_BYTES)
    assert answer.status_code == 201 and answer.json() == {"path": "/api/runs"}
    assert database.bodies == [b"x" * BODY_BYTES] * (refusals + 1)


def test_a_database_that_stays_busy_is_said_to_be():
    database = Database(99)
    answer = asked(database)
    assert answer.status_code == 503 and answer.json() == {"busy": True}
    assert len(database.bodies) == 5


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [("POST", b"run", 500), ("GET", b"", 503), ("POST", b"x" * (BODY_BYTES + 1), 503)],
    ids=["another error", "only reads", "too large to keep"],
)
def test_what_is_asked_once(method, body, status):
    database = Database(1, status=status)
    assert asked(database, method, body).status_code == status
    assert database.bodies == [body]


def test_a_large_request_arrives_whole():
    database = Database(0)
    assert asked(database, body=b"y" * (3 * BODY_BYTES)).status_code == 201
    assert database.bodies == [b"y" * (3 * BODY_BYTES)]
