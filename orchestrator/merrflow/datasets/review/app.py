"""The review page over HTTP. Requests name clips by id; no path comes from outside."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException
from fastapi import Path as InPath
from fastapi import Query as InQuery
from fastapi.responses import FileResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from merrflow.core.version import __version__
from merrflow.datasets.pages import templates
from merrflow.datasets.pictures import FOLDER
from merrflow.datasets.review.desk import Desk, Query, UnknownClip
from merrflow.datasets.review.news import news
from merrflow.datasets.review.sound import draw_sound
from merrflow.datasets.review.verdicts import Kind, Name, Said
from merrflow.datasets.review.web import page_app
from merrflow.store import ClipGone, NotYours
from merrflow_serving.errors import MerrflowError

PACKAGE = "merrflow.datasets.review"
ASSETS = ("page.css", "page.js", "news.js", "list.js", "player.js", "server.js", "text.js")
TYPES = {".webm": "video/webm", ".ogv": "video/ogg", ".mkv": "video/x-matroska", ".mov": "video/quicktime"}
_ERRORS: Mapping[type[Exception], tuple[int, str]] = {
    UnknownClip: (404, "there is no such clip, or its record is gone; reload the page"),
    ClipGone: (409, "the clip is gone, or its file was replaced; the verdict was not kept. Reload the page"),
    NotYours: (409, "there is nothing of yours to take back on this clip"),
}

Id = Annotated[str, InPath(pattern="^[0-9a-f]{16}$")]
Key = Annotated[str, StringConstraints(pattern="^[0-9a-zA-Z-]{8,64}$")]


class SaidIn(BaseModel):
    """A verdict as the page sends it."""

    model_config = ConfigDict(extra="forbid")
    key: Key  # made once by the page, however often it sends the verdict
    reviewer: Name
    kind: Kind
    sha256: Annotated[str, StringConstraints(max_length=64)]
    said: Said


class UndoIn(BaseModel):
    """The last word taken back."""

    model_config = ConfigDict(extra="forbid")
    key: Key
    reviewer: Name


class ListIn(BaseModel):
    """What of the list is asked for; see `desk.Query`."""

    model_config = ConfigDict(extra="forbid")
    reviewer: Name
    sort: Annotated[str, StringConstraints(pattern="^(doubt|name)$")] = "doubt"
    label: str = Field("", max_length=60)
    outcome: str = Field("", max_length=20)
    standing: str = Field("", max_length=20)
    disagree: bool = False
    mine: Annotated[str, StringConstraints(pattern="^(|open|said)$")] = ""
    people: Annotated[str, StringConstraints(pattern="^(|differ|rejected)$")] = ""
    text: str = Field("", max_length=200)
    blind: bool = False
    as_of: int = Field(-1, ge=-1)
    offset: int = Field(0, ge=0)
    limit: int = Field(100, ge=1, le=200)


def review_app(desk: Desk, reviewer: str = "", blind: bool = False, ending: asyncio.Event | None = None) -> FastAPI:
    """The application, to be put behind a `Guard`. reviewer, blind: what the page begins with. ending: set when the
    server ends, so that streams do."""
    ended = ending or asyncio.Event()
    page = (
        templates(PACKAGE)
        .get_template("page.html.j2")
        .render(version=__version__, reviewer=reviewer, blind=blind, about=desk.about())
    )

    app = page_app("merrflow review", page, dict.fromkeys(ASSETS, PACKAGE), _ERRORS)

    @app.get("/api/about")
    def about() -> dict[str, Any]:
        return desk.about()

    @app.get("/api/clips")
    def listing(wanted: Annotated[ListIn, InQuery()]) -> dict[str, Any]:
        return desk.listing(Query(**wanted.model_dump()))

    @app.get("/api/progress")
    def progress(reviewer: Annotated[Name, InQuery()]) -> dict[str, Any]:
        return desk.progress(reviewer)

    @app.get("/api/news")
    async def stream() -> Response:
        return StreamingResponse(news(desk.version, ended), media_type="text/event-stream")

    @app.get("/api/clips/{clip}")
    def one(clip: Id, reviewer: Annotated[Name, InQuery()], blind: bool = False) -> dict[str, Any]:
        return desk.one(clip, reviewer, blind)

    @app.post("/api/clips/{clip}/verdict")
    def say(clip: Id, body: SaidIn) -> dict[str, Any]:
        if body.said.source:
            raise HTTPException(422, "said.source: only merrflow import says where a verdict was given")
        try:
            row = desk.say(clip, body.sha256, body.reviewer, body.key, body.kind, body.said)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return {"row": row.id}

    @app.post("/api/clips/{clip}/undo")
    def undo(clip: Id, body: UndoIn) -> dict[str, Any]:
        return {"row": desk.undo(clip, body.reviewer, body.key).id}

    @app.get("/clips/{clip}/video")
    def video(clip: Id) -> Response:
        return film(desk.file(clip))

    @app.get("/clips/{clip}/picture")
    def picture(clip: Id) -> Response:
        return still(desk.out / FOLDER / f"{desk.item(clip).name}.jpg")

    @app.get("/clips/{clip}/sound")
    def sound(clip: Id) -> dict[str, Any]:
        import base64

        path = _file([desk.file(clip)], "the clip's file is gone")
        try:
            drawn = draw_sound(path)
        except (MerrflowError, OSError) as error:
            raise HTTPException(404, f"the sound cannot be drawn: {error}") from error
        return {
            "png": "data:image/png;base64," + base64.b64encode(drawn.png).decode(),
            "seconds": drawn.seconds,
            "pitch": drawn.pitch,
        }

    return app


def film(*places: Path | None) -> FileResponse:
    """The clip at the first of these places that has one; answers ranges, in pieces. Raises `HTTPException`."""
    path = _file(places, "the clip's file is gone")
    return FileResponse(path, media_type=TYPES.get(path.suffix.lower(), "video/mp4"))


def still(*places: Path | None) -> FileResponse:
    """The picture at the first of these places that has one. Raises `HTTPException`."""
    return FileResponse(_file(places, "there is no picture"), media_type="image/jpeg")


def _file(places: Sequence[Path | None], problem: str) -> Path:
    """A regular file. Raises `HTTPException` for anything else: a pipe would never end, a device has no size."""
    for path in places:
        with suppress(OSError):
            if path is not None and stat.S_ISREG(path.stat().st_mode):
                return path
    raise HTTPException(404, problem)
