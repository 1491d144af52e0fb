"""Decoding of video, frame by frame, with one numbering for the whole project.

Frames are counted from 0 in order of display. Rotation flags are applied.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np

from merrflow_serving.errors import MissingStream, TooLarge, UnreadableMedia

Source = Path | bytes


@dataclass(frozen=True)
class VideoFrame:
    """One decoded frame."""

    index: int
    timestamp: float  # seconds from the first frame
    image: np.ndarray  # (height, width, 3) uint8 RGB


@contextmanager
def open_media(source: Source) -> Iterator[av.container.InputContainer]:
    """Opens a file or bytes; `UnreadableMedia` where ffmpeg cannot, or stumbles while it is open."""
    if isinstance(source, bytes) and not source:
        raise UnreadableMedia("the file is empty (0 bytes)")
    if isinstance(source, Path) and source.is_file() and source.stat().st_size == 0:
        raise UnreadableMedia("the file is empty (0 bytes)")
    try:
        target = io.BytesIO(source) if isinstance(source, bytes) else str(source)
        with av.open(target, metadata_errors="replace") as container:
            yield container
    except FileNotFoundError as error:
        raise UnreadableMedia("the file does not exist") from error
    except av.error.FFmpegError as error:
        raise UnreadableMedia(
            f"not a video, sound or image file that can be decoded, or one that is cut off ({error.strerror})"
        ) from error


def display_image(frame: av.VideoFrame) -> np.ndarray:
    """The frame as people see it: (height, width, 3) uint8 RGB, turned as its rotation flag says."""
    image = frame.to_ndarray(format="rgb24")
    turns = round((frame.rotation or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def iter_frames(source: Source, *, max_pixels: int = 0, max_frames: int = 0) -> Iterator[VideoFrame]:
    """Decodes the first video track.

    Raises `UnreadableMedia`, `MissingStream` (no video track) or `TooLarge` (0 means no limit).
    """
    with open_media(source) as container:
        if not container.streams.video:
            raise MissingStream("the file has no video track")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or 25)
        first: float | None = None
        for index, frame in enumerate(container.decode(stream)):
            if max_frames and index >= max_frames:
                raise TooLarge(f"the video has more than {max_frames} frames")
            if max_pixels and frame.width * frame.height > max_pixels:
                raise TooLarge(
                    f"a frame of {frame.width}x{frame.height} is larger than {max_pixels} pixels"
                )
            time = frame.time if frame.time is not None else index / rate
            first = time if first is None else first
            yield VideoFrame(index, time - first, display_image(frame))
