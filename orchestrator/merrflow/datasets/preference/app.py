"""The page of `merrflow compare` over HTTP. Requests name pairs by id; no path comes from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from fastapi import Path as InPath
from fastapi import Query as InQuery
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, StringConstraints

from merrflow.core.version import __version__
from merrflow.datasets.pages import templates
from merrflow.datasets.preference.desk import CompareDesk, UnknownPair
from merrflow.datasets.review.app import PACKAGE as REVIEW
from merrflow.datasets.review.app import Key, film, still
from merrflow.datasets.review.verdicts import Name
from merrflow.datasets.review.web import page_app
from merrflow.store import ClipGone, NotYours

PACKAGE = "merrflow.datasets.preference"
ASSETS = {"page.css": REVIEW, "server.js": REVIEW, "text.js": REVIEW, "compare.css": PACKAGE, "compare.js": PACKAGE}
_MOST = 50  # pairs in one answer
_ERRORS: Mapping[type[Exception], tuple[int, str]] = {
    UnknownPair: (404, "there is no such pair, or its texts changed since; reload the page"),
    ClipGone: (409, "the clip is gone, or its file was replaced; the answer was not kept"),
    NotYours: (409, "there is no answer of yours to take back on this pair"),
}

Id = Annotated[str, InPath(pattern="^[0-9a-f]{16}$")]
Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]


class _Shown(BaseModel):
    """Which texts were on the page, in which places, and for whom."""

    model_config = ConfigDict(extra="forbid")
    key: Key  # made once by the page, however often it sends this
    reviewer: Name
    left: Digest
    right: Digest


class AnswerIn(_Shown):
    """An answer as the page sends it."""

    place: Literal["first", "second", "same"]


def compare_app(desk: CompareDesk, reviewer: str = "") -> FastAPI:
    """The application, to be put behind a `Guard`. reviewer: the name that the page begins with."""
    page = templates(PACKAGE).get_template("compare.html.j2").render(version=__version__, reviewer=reviewer)
    app = page_app("merrflow compare", page, ASSETS, _ERRORS)

    @app.get("/api/about")
    def about() -> dict[str, Any]:
        return {"total": len(desk)}

    @app.get("/api/queue")
    def queue(
        reviewer: Annotated[Name, InQuery()], limit: Annotated[int, InQuery(ge=1, le=_MOST)] = 20
    ) -> dict[str, Any]:
        return desk.queue(reviewer, limit)

    @app.post("/api/pairs/{pair}/answer")
    def answer(pair: Id, body: AnswerIn) -> dict[str, Any]:
        return {"row": desk.answer(pair, body.left, body.right, body.reviewer, body.place, body.key)}

    @app.post("/api/pairs/{pair}/undo")
    def undo(pair: Id, body: _Shown) -> dict[str, Any]:
        return {"row": desk.undo(pair, body.left, body.right, body.reviewer, body.key)}

    @app.get("/pairs/{pair}/video")
    def video(pair: Id) -> Response:
        return film(*desk.films(pair))

    @app.get("/pairs/{pair}/picture")
    def picture(pair: Id) -> Response:
        return still(*desk.pictures(pair))

    return app
