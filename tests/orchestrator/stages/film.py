"""Draws film frames with subtitles, tickers and logos, in OpenCV's own fonts (which hold Chinese)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from merrflow.stages.text_samples import TextSample, take_sample, wanted

WIDTH, HEIGHT = 720, 404
Draw = Callable[[np.ndarray, float], None]


def write(image: np.ndarray, text: str, x: int, baseline: int, height: int = 24, value: int = 255) -> None:
    """Text with a dark outline, as subtitles have it."""
    font = cv2.FontFace("sans" if text.isascii() else "uni")
    for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        cv2.putText(image, text, (x + dx, baseline + dy), (20, 20, 20), font, height)
    cv2.putText(image, text, (x, baseline), (value, value, value), font, height)


def width_of(text: str, height: int = 24) -> int:
    """How many pixels wide `write` makes a text."""
    font = cv2.FontFace("sans" if text.isascii() else "uni")
    return int(cv2.getTextSize((0, 0), text, (0, 0), font, height)[2])


def subtitle(text: str, start: float = 0.0, end: float = 99.0, baseline: int = 345, height: int = 24) -> Draw:
    """A centred line that stands from `start` to `end` seconds."""

    def draw(image: np.ndarray, time: float) -> None:
        if start <= time < end:
            write(image, text, (image.shape[1] - width_of(text, height)) // 2, baseline, height)

    return draw


def logo(text: str, x: int, baseline: int = 340, height: int = 22) -> Draw:
    """A text that always stands in one place."""
    return lambda image, time: write(image, text, x, baseline, height)


def ticker(text: str, speed: float = 60.0, baseline: int = 395, height: int = 20) -> Draw:
    """A band with text that runs to the left, `speed` pixels a second, over the whole width."""

    def draw(image: np.ndarray, time: float) -> None:
        image[baseline - height - 3 : baseline + 6] = 60
        write(image, text, -20 - round(speed * time), baseline, height)

    return draw


def film(seconds: float, draws: Sequence[Draw], fps: float = 25.0) -> list[TextSample]:
    """The samples the probe would take of such a film; its background moves."""
    samples: list[TextSample] = []
    last: float | None = None
    for index in range(round(seconds * fps)):
        time = index / fps
        if not wanted(time, last):
            continue
        last = time
        rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
        grey = (60 + 40 * np.sin((columns + 90 * time) / 60) + 20 * np.cos(rows / 40)).astype(np.uint8)
        image = np.stack([grey, grey // 2 + 30, grey], axis=2)
        for draw in draws:
            draw(image, time)
        samples.append(take_sample(image, time))
    return samples
