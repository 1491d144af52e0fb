"""Decoding of video, frame by frame, with one numbering for the whole project.

Frames are counted from 0 in order of display. Rotation flags are applied.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import av
import av.error
import numpy as np

from merrflow_serving.errors import MissingStream, TooLarge, UnreadableMedia

Source = Path | bytes


@dataclass(frozen=True)
class VideoFrame:
    """One decoded frame; converted to RGB only when asked for."""

    index: int
    timestamp: float  # seconds from the first frame
    raw: av.VideoFrame

    @cached_property
    def image(self) -> np.ndarray:
        """(height, width, 3) uint8 RGB, turned as the rotation flag says."""
        return _display(self.raw, self.raw.width, self.raw.height)

    def scaled(self, longest: int) -> np.ndarray:
        """As `image`, shrunk so that no side is longer than `longest` pixels; never enlarged."""
        factor = min(1.0, longest / max(self.raw.width, self.raw.height))
        return _display(self.raw, max(1, round(self.raw.width * factor)), max(1, round(self.raw.height * factor)))


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


def _display(raw: av.VideoFrame, width: int, height: int) -> np.ndarray:
    image = raw.to_ndarray(format="rgb24", width=width, height=height)
    turns = round((raw.rotation or 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns) if turns else image)


def iter_frames(
    source: Source,
    *,
    max_pixels: int = 0,
    max_frames: int = 0,
    on_audio: Callable[[av.AudioFrame], None] | None = None,
) -> Iterator[VideoFrame]:
    """Decodes the first video track and, where `on_audio` wants it, the first sound track on the way.

    Raises `UnreadableMedia`, `MissingStream` (no video track) or `TooLarge` (0 means no limit). A sound track
    that cannot be decoded raises nothing here: it is simply handed over in part.
    """
    with open_media(source) as container:
        if not container.streams.video:
            raise MissingStream("the file has no video track")
        video = container.streams.video[0]
        video.thread_type = "AUTO"
        audio = container.streams.audio[:1] if on_audio else ()
        rate = float(video.average_rate or 25)
        first: float | None = None
        index = 0
        for packet in container.demux(video, *audio):
            if packet.stream.type == "audio":
                _hand_over(packet, on_audio)
                continue
            for raw in packet.decode():
                if max_frames and index >= max_frames:
                    raise TooLarge(f"the video has more than {max_frames} frames")
                if max_pixels and raw.width * raw.height > max_pixels:
                    raise TooLarge(f"a frame of {raw.width}x{raw.height} has more than {max_pixels} pixels")
                time = raw.time if raw.time is not None else index / rate
                first = time if first is None else first
                yield VideoFrame(index, time - first, raw)
                index += 1


def read_frames(source: Source, wanted: Collection[int]) -> dict[int, VideoFrame]:
    """The frames with these numbers; those the video does not have are left out. Errors as `iter_frames`."""
    found: dict[int, VideoFrame] = {}
    if not wanted:
        return found
    last = max(wanted)
    for frame in iter_frames(source):
        if frame.index in wanted:
            found[frame.index] = frame
        if frame.index >= last:
            break
    return found


def _hand_over(packet: av.Packet, on_audio: Callable[[av.AudioFrame], None]) -> None:
    try:
        for raw in packet.decode():
            on_audio(raw)
    except av.error.FFmpegError:
        return
