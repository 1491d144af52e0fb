"""The review queue as one HTML file, pictures and all: each candidate's frame with the face marked, and the reasons."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from merrflow.core.atomic_files import whole_text
from merrflow.core.version import __version__
from merrflow.datasets.mining.rank import Candidate, Mined
from merrflow.datasets.mining.review_queue import shown_label
from merrflow.datasets.pages import asset, policy, templates
from merrflow_serving.errors import MerrflowError

PACKAGE = "merrflow.datasets.mining"
LONGEST = 480  # pixels of a picture's longer side
QUALITY = 80  # of JPEG
_MARK = (255, 200, 0)  # RGB of the face's frame


@dataclass(frozen=True)
class Card:
    """One candidate as the page shows it."""

    one: Candidate
    label: str
    picture: str  # data URI; "" if the frame cannot be read
    problem: str


def write_sheet(mined: Mined, path: Path) -> None:
    """Writes the page. Blocking: each clip is decoded up to its frame. Pictures are made one at a time."""
    style = asset(PACKAGE, "sheet.css")
    pieces = (
        templates(PACKAGE)
        .get_template("sheet.html.j2")
        .generate(mined=mined, cards=_cards(mined), style=Markup(style), policy=policy(style), version=__version__)
    )
    with whole_text(path) as file:
        for piece in pieces:
            file.write(piece.encode("utf-8", "replace").decode("utf-8"))


def _cards(mined: Mined) -> Iterator[Card]:
    for one in mined.candidates:
        try:
            yield Card(one, shown_label(one), _picture(one), "")
        except (MerrflowError, OSError) as error:
            yield Card(one, shown_label(one), "", str(error))


def _picture(one: Candidate) -> str:
    import cv2

    from merrflow_serving.errors import UnreadableMedia
    from merrflow_serving.media.images import encode_jpeg
    from merrflow_serving.media.video import read_frames

    frame = read_frames(one.path, {one.frame}).get(one.frame)
    if frame is None:
        raise UnreadableMedia(f"frame {one.frame} cannot be decoded")
    image = frame.scaled(LONGEST)
    if one.box is not None:
        factor = min(1.0, LONGEST / max(frame.size))
        x, y, width, height = (round(value * factor) for value in one.box)
        cv2.rectangle(image, (x, y), (x + width, y + height), _MARK, 2)
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(image, quality=QUALITY)).decode("ascii")
