"""Frames as an endpoint takes them: small JPEG files in data URLs."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from merrflow_minigpt_v2.frames import shrunk
from merrflow_minigpt_v2.types import ContextFrame, SceneItem

LONGEST_SIDE = 1024  # pixels; more is hardly read by today's models, and is paid for
# Without halved colours: of a real frame, 47 dB and at most 19 levels off, instead of 43 dB and 70. Pixels are paid
# for, bytes are not.
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
Picture = npt.NDArray[np.uint8]  # (height, width, 3) RGB


def pictures(item: SceneItem, count: int) -> tuple[list[Picture], int]:
    """At most `count` pictures in order of time, and the place of the frame itself among them, from 1."""
    chosen = spread(item.context, count - 1)
    before = [frame.image for frame in chosen if frame.offset_seconds < 0]
    after = [frame.image for frame in chosen if frame.offset_seconds >= 0]
    return [*before, item.image, *after], len(before) + 1


def spread(context: Sequence[ContextFrame], count: int) -> list[ContextFrame]:
    """`count` frames, evenly over all; the first and the last are among them."""
    if count <= 0:
        return []
    if len(context) <= count:
        return list(context)
    places = np.linspace(0, len(context) - 1, count).round().astype(int)
    return [context[place] for place in dict.fromkeys(places.tolist())]


def data_url(image: Picture) -> str:
    """(height, width, 3) RGB as a JPEG of at most `LONGEST_SIDE` pixels a side."""
    _, data = cv2.imencode(".jpg", shrunk(image, LONGEST_SIDE)[..., ::-1], JPEG)
    return f"data:image/jpeg;base64,{b64encode(data.tobytes()).decode('ascii')}"
