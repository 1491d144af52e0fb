"""Pictures for the tests of the scene service: drawn ones, and a real face out of the example clips."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from merrflow_serving.media.video import iter_frames

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "clips"


def flat(red: int, green: int, blue: int, size: tuple[int, int] = (240, 320)) -> np.ndarray:
    """A picture of one colour; size is (height, width)."""
    return np.full((*size, 3), (red, green, blue), np.uint8)


def pattern(size: tuple[int, int] = (240, 320), seed: int = 0) -> np.ndarray:
    """A smooth random pattern, textured everywhere, by which movement can be followed."""
    noise = np.random.default_rng(seed).normal(size=size)
    smooth = cv2.GaussianBlur(noise, (0, 0), 4)
    grey = (128 + 45 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)
    return np.dstack([grey] * 3)


@cache
def portrait() -> np.ndarray:
    """The middle frame of an example clip: one real face, (height, width, 3) uint8 RGB."""
    clips = sorted(EXAMPLES.glob("*.mp4"))
    if not clips:
        pytest.skip("examples/clips has not been made yet (make examples)")
    frames = [frame.image for frame in iter_frames(clips[0])]
    return frames[len(frames) // 2]


def person_in_room(shift: int = 0) -> np.ndarray:
    """The portrait, half as large, before a textured wall of 480 x 960 pixels; all moved right by `shift`."""
    room = (pattern((480, 960)) // 2 + 40).astype(np.uint8)
    small = cv2.resize(portrait(), (320, 240), interpolation=cv2.INTER_AREA)
    room[240:, 320:640] = small
    return np.roll(room, shift, axis=1)


@cache
def person_without_a_face() -> np.ndarray:
    """(480, 480, 3): the portrait before a wall, with its face upside down: no face can be found there."""
    image = portrait().copy()
    face = image[145:414, 193:422]
    face[:] = face[::-1].copy()
    picture = flat(110, 110, 110, (480, 480))
    picture[240:, 60:420] = cv2.resize(image, (360, 240))
    return picture
