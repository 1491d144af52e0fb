"""A drawn face: plain shapes that a face detector takes for a face, moved through poses and mouth openings.

As it is by default, it is the picture that warms the engines up: `data/warmup.png` of merrflow_openface_au.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]  # RGB

_SKIN, _SHADE, _DARK = (224, 176, 148), (196, 146, 120), (60, 40, 30)


def draw_face(
    width: int = 320,
    height: int = 320,
    *,
    center: tuple[float, float] = (160.0, 160.0),
    size: float = 320.0,
    mouth: float = 0.2,
    roll: float = 0.0,
    gain: float = 1.0,
    background: Colour = (120, 130, 140),
) -> npt.NDArray[np.uint8]:
    """A (height, width, 3) uint8 RGB picture with one face.

    center: middle of the head, pixels. size: side of the square the head with its neck fills, pixels.
    mouth: 0 closed to 1 wide open. roll: degrees, positive clockwise for the viewer. gain: brightness factor.
    """
    import cv2

    canvas = np.full((1280, 1280, 4), (*_SHADE, 0), np.uint8)

    def ellipse(
        at: tuple[float, float],
        axes: tuple[float, float],
        colour: Colour,
        start: float = 0,
        end: float = 360,
        line: int = -1,
    ) -> None:
        x, y, across, down = (round(4 * value) for value in (*at, *axes))
        thickness = line if line < 0 else 4 * line
        cv2.ellipse(canvas, (x, y), (across, down), 0, start, end, (*colour, 255), thickness, cv2.LINE_AA)

    ellipse((160, 290), (40, 30), _SHADE)
    ellipse((160, 120), (86, 92), _DARK)
    ellipse((160, 168), (74, 98), _SKIN)
    for side in (-1, 1):
        ellipse((160 + side * 30, 150), (17, 8), (245, 245, 245))
        ellipse((160 + side * 30, 150), (8, 8), (50, 35, 30))
        ellipse((160 + side * 30, 151), (19, 10), _SHADE, 180, 360, 2)
        ellipse((160 + side * 31, 132), (21, 7), _DARK, 200, 340, 5)
    ellipse((160, 190), (12, 9), _SHADE, 0, 180, 3)
    ellipse((160, 176), (6, 18), (232, 186, 160))
    ellipse((160, 222), (27, 6 + 9 * mouth), (170, 80, 80))
    ellipse((160, 222), (22, 1 + 6 * mouth), (70, 20, 25))
    blurred = cv2.GaussianBlur(canvas, (0, 0), 12)

    # cv2 turns counter-clockwise for positive angles in a picture whose y axis points down.
    turn = cv2.getRotationMatrix2D((640, 640), -roll, size / 1280)
    turn[:, 2] += np.array(center) - 640
    head = cv2.warpAffine(blurred, turn, (width, height), flags=cv2.INTER_AREA)
    alpha = head[..., 3:].astype(np.float32) / 255
    picture = head[..., :3] * alpha + np.array(background, np.float32) * (1 - alpha)
    return (picture * gain).clip(0, 255).astype(np.uint8)
