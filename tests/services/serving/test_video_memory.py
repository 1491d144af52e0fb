"""Pictures leave memory when nobody holds them, and not when Python next looks for circles."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest

from merrflow_serving.media.video import VideoFrame, iter_frames

CLIP = Path(__file__).parents[3] / "examples/clips/surprise_visit.mp4"


@pytest.mark.parametrize(
    "look", [lambda frame: frame.is_as_decoded, lambda frame: frame.scaled(64), lambda frame: frame]
)
def test_a_frame_that_was_looked_at_goes_with_its_last_holder(look) -> None:
    gc.collect()
    gc.disable()
    try:
        alive: list[weakref.ref[VideoFrame]] = []
        pictures: set[int] = set()
        for frame in iter_frames(CLIP, threads=1):
            look(frame)
            alive.append(weakref.ref(frame))
            pictures.add(id(frame.raw))
        del frame
        assert not [one for one in alive if one() is not None]
        assert not [one for one in gc.get_objects() if id(one) in pictures and type(one).__name__ == "VideoFrame"]
    finally:
        gc.enable()
