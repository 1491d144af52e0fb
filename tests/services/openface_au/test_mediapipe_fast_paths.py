"""What makes the engine quicker changes no result: landmarks read in memory, memory used again."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_openface_au.engines.mediapipe import landmarks
from merrflow_openface_au.engines.mediapipe.engine import MediapipeEngine
from merrflow_openface_au.engines.mediapipe.ring_buffer import PictureRing
from tests.services.openface_au.drawn_face import draw_face
from tests.services.openface_au.videos import encode


def talking(frames: int, width: int = 480, height: int = 360) -> bytes:
    """Four drawings, for drawing is slow, each moved on for every frame, so that no two frames are alike."""
    drawn = [draw_face(width, height, center=(200, 180), mouth=step / 4) for step in range(4)]
    return encode(np.roll(drawn[number % 4], number, axis=1) for number in range(frames))


def test_the_installed_library_has_the_known_layout() -> None:
    assert landmarks.has_known_layout()


def test_landmarks_in_memory_are_those_of_the_public_interface(
    engine: MediapipeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = talking(6)
    (quick,) = engine.run([video])
    monkeypatch.setattr(landmarks, "has_known_layout", lambda: False)
    (plain,) = engine.run([video])
    assert quick == plain and all(frame.faces for frame in quick.frames)


def test_no_picture_is_written_over_while_it_is_used(engine: MediapipeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer than the ring, and a result of a larger video before it."""
    video = talking(40)
    engine.run([talking(2, 640, 480)])
    (shared,) = engine.run([video])
    monkeypatch.setattr(PictureRing, "keep", lambda self, picture: np.array(picture))
    (own,) = engine.run([video])
    assert shared == own


def test_a_ring_keeps_as_many_as_it_says() -> None:
    ring = PictureRing(3)
    pictures = [np.full((4, 6, 3), number, np.uint8) for number in range(4)]
    kept = [ring.keep(picture[:, ::-1]) for picture in pictures]
    assert [int(one.max()) for one in kept[1:]] == [1, 2, 3]
    assert np.shares_memory(kept[0], kept[3])
    assert all(one.flags.c_contiguous for one in kept)


def test_a_ring_gives_back_memory_that_is_far_too_large() -> None:
    ring = PictureRing(1)
    ring.keep(np.zeros((100, 100, 3), np.uint8))
    assert ring.keep(np.zeros((10, 10, 3), np.uint8)).base.size == 300
