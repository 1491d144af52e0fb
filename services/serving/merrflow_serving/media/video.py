"""Decoding of video, frame by frame, with one numbering and one clock for the whole project.

Frames are counted from 0 in order of display, and shown as players show them: upright, whole, with square pixels, in
SDR.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import av
import numpy as np
from av.video.reformatter import Interpolation

from merrflow_serving.errors import TooManyFrames
from merrflow_serving.media.bounds import MOST_PIXELS
from merrflow_serving.media.clock import FrameClock
from merrflow_serving.media.colours import needs_mapping
from merrflow_serving.media.container import Source, check_codec, open_media
from merrflow_serving.media.convert import Converter
from merrflow_serving.media.decoding import Decoded, OnOpen, decode
from merrflow_serving.media.deinterlace import deinterlaced
from merrflow_serving.media.orientation import Matrix, display_matrix, is_turned, square, upright, upright_as_is
from merrflow_serving.media.small import block_means, small_size

__all__ = ["Source", "VideoFrame", "check_codec", "iter_frames", "open_media", "read_frames"]
SMALL = 160  # pixels on the longer side, about


@dataclass(frozen=True)
class VideoFrame:
    """One decoded frame; converted to RGB only when asked for."""

    index: int
    timestamp: float  # seconds from the first frame, strictly ascending
    raw: av.VideoFrame
    converter: Converter | None = None  # of the video it belongs to; None for a frame on its own
    pixel_ratio: float = 1.0  # width over height of a decoded pixel
    start: float | None = None  # seconds on the container's clock at which frame 0 is shown; None: not known yet
    interlaced: bool = False  # recorded in two fields; `raw` is without combing
    is_damaged: bool = False  # the decoder says that parts of the picture are missing or made up

    @cached_property
    def _matrix(self) -> Matrix:
        return display_matrix(self.raw)

    @property
    def _square(self) -> tuple[int, int]:
        return square(self.raw.width, self.raw.height, self.pixel_ratio)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of `image` in pixels."""
        sides = self._square
        return sides[::-1] if is_turned(self._matrix) else sides

    @property
    def is_as_decoded(self) -> bool:
        """Whether readers that know nothing of turned, mirrored, stretched, interlaced or HDR pictures see the same."""
        plain = upright_as_is(self._matrix) and self._square == (self.raw.width, self.raw.height)
        return plain and not self.interlaced and not needs_mapping(self.raw)

    @property
    def is_on_time(self) -> bool:
        """Whether `timestamp` is the file's own."""
        own = self.raw.time
        return own is not None and self.start is not None and abs(own - self.start - self.timestamp) < 1e-6

    @cached_property
    def image(self) -> np.ndarray:
        """(height, width, 3) uint8 RGB, as it is to be shown."""
        return np.ascontiguousarray(self.view(max(self.size)))

    def scaled(self, longest: int) -> np.ndarray:
        """Like `image`, shrunk so that no side is longer than `longest` pixels; never enlarged."""
        return np.ascontiguousarray(self.view(longest))

    @cached_property
    def small(self) -> np.ndarray:
        """Like `image`, shrunk by a power of 2 to about `SMALL` pixels: for what looks at every frame."""
        raw, sides = self.raw, self._square
        width, height, times = small_size(*sides, SMALL)
        plain = sides == (raw.width, raw.height) and not needs_mapping(raw)
        means = block_means(raw, times) if plain else None
        if means is None:
            means = self._converted(width, height, Interpolation.AREA)
        return np.ascontiguousarray(upright(means, self._matrix))

    def view(self, longest: int) -> np.ndarray:
        """Like `scaled`, but without a copy of ffmpeg's memory, so that there may be gaps between rows."""
        factor = min(1.0, longest / max(self._square))
        width, height = (max(1, round(side * factor)) for side in self._square)
        return upright(self._converted(width, height), self._matrix)

    def _converted(self, width: int, height: int, how: Interpolation | None = None) -> np.ndarray:
        return (self.converter or Converter()).view(self.raw, width, height, how)


def iter_frames(
    source: Source,
    *,
    max_pixels: int = 0,
    max_frames: int = 0,
    on_damage: Callable[[], None] | None = None,
    on_open: OnOpen | None = None,
    threads: int = 0,
) -> Iterator[VideoFrame]:
    """Decodes the video track that is the film.

    A damaged packet costs its pictures: decoding goes on behind it, and `on_damage` is called for each. Pictures of
    which the decoder could make up the missing parts are kept, as players show them (`VideoFrame.is_damaged`).

    on_open: is given the opened file and its track before anything is decoded; what it raises ends the reading.
    threads: of the decoder, each of which holds pictures in memory; 0: one per core.

    Raises `UnreadableMedia`, `MissingStream` (no video track) or `TooLarge` (0 means no limit).
    """
    clock: FrameClock[Decoded] | None = None
    converter = Converter()
    index = 0

    def number(timed: list[tuple[Decoded, float]], start: float | None) -> Iterator[VideoFrame]:
        nonlocal index
        for decoded, timestamp in timed:
            if max_frames and index >= max_frames:
                raise TooManyFrames(f"the video has more than {max_frames} frames")
            raw, ratio, _, _, interlaced, damaged = decoded
            yield VideoFrame(index, timestamp, raw, converter, ratio, start, interlaced, damaged)
            index += 1

    for decoded in deinterlaced(decode(source, max_pixels, on_damage, threads, on_open)):
        clock = clock or FrameClock(decoded.rate, resets=decoded.resets)
        yield from number(list(clock.add(decoded, decoded.raw.time)), clock.start)
    if clock is not None:
        yield from number(list(clock.finish()), clock.start)


def read_frames(
    source: Source, wanted: Collection[int], *, max_pixels: int = MOST_PIXELS, threads: int = 0
) -> dict[int, VideoFrame]:
    """The frames with these numbers; those that the video does not have are left out. Raises as `iter_frames`."""
    found: dict[int, VideoFrame] = {}
    if not wanted:
        return found
    last = max(wanted)
    for frame in iter_frames(source, max_pixels=max_pixels, threads=threads):
        if frame.index in wanted:
            found[frame.index] = frame
        if frame.index >= last:
            break
    return found
