"""Decoding of video, frame by frame, with one numbering for the whole project.

Frames are counted from 0 in order of display. Rotation flags are applied.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.error
import av.stream
import numpy as np

from merrflow_serving.errors import MissingStream, TooLarge, UnreadableMedia
from merrflow_serving.media.bounds import MOST_PIXELS, MOST_SAMPLES, pixel_limit, sound_limit
from merrflow_serving.media.convert import Converter

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

Source = Path | bytes
# ffmpeg also has formats that refer to other files or addresses (playlists, concat, SDP): a clip must not make it open
# these, so only formats that contain their media are accepted. Names of ffmpeg's demuxers.
FORMATS = (
    *(
        "mov",
        "matroska",
        "avi",
        "mpeg",
        "mpegts",
        "flv",
        "live_flv",
        "asf",
        "ogg",
        "gif",
        "apng",
        "mxf",
        "nut",
        "dv",
        "rm",
    ),
    *(
        "h264",
        "hevc",
        "m4v",
        "mpegvideo",
        "mjpeg",
        "mjpeg_2000",
        "obu",
        "av1",
        "ivf",
        "h263",
        "vc1",
        "yuv4mpegpipe",
        "wtv",
    ),
    *("wav", "w64", "mp3", "flac", "aac", "ac3", "eac3", "aiff", "au", "caf", "amr", "wv", "ape", "tta", "loas"),
    *("image2", "jpeg_pipe", "png_pipe", "webp_pipe", "bmp_pipe", "tiff_pipe", "gif_pipe", "jpegxl_pipe", "j2k_pipe"),
    *("ppm_pipe", "pgm_pipe", "jpegls_pipe", "jpegxl_anim"),
)
_KINDS = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}


@dataclass(frozen=True)
class VideoFrame:
    """One decoded frame; converted to RGB only when asked for."""

    index: int
    timestamp: float  # seconds from the first frame
    raw: av.VideoFrame
    converter: Converter | None = None  # of the video it belongs to; None for a frame on its own

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of `image` in pixels."""
        sides = self.raw.width, self.raw.height
        return sides[::-1] if _turns(self.raw) % 2 else sides

    @cached_property
    def image(self) -> np.ndarray:
        """(height, width, 3) uint8 RGB, rotated as the rotation flag says."""
        return np.ascontiguousarray(self.view(max(self.raw.width, self.raw.height)))

    def scaled(self, longest: int) -> np.ndarray:
        """Like `image`, shrunk so that no side is longer than `longest` pixels; never enlarged."""
        return np.ascontiguousarray(self.view(longest))

    def view(self, longest: int) -> np.ndarray:
        """Like `scaled`, but without a copy of ffmpeg's memory, so that there may be gaps between rows."""
        factor = min(1.0, longest / max(self.raw.width, self.raw.height))
        width, height = (max(1, round(side * factor)) for side in (self.raw.width, self.raw.height))
        if self.converter is None:
            image = self.raw.to_ndarray(format="rgb24", width=width, height=height)
        else:
            image = self.converter.view(self.raw, width, height)
        turns = _turns(self.raw)
        return np.rot90(image, turns) if turns else image


@contextmanager
def open_media(source: Source, *, max_pixels: int = MOST_PIXELS) -> Iterator[av.container.InputContainer]:
    """Opens a file or bytes. Raises `UnreadableMedia` if ffmpeg cannot open it, or fails inside the block.

    Only regular files in one of `FORMATS`: no file or address that the media refer to is opened. max_pixels: ffmpeg
    decodes pictures already on opening, to know their size; above this (0: no limit) it does not.
    """
    if not (len(source) if isinstance(source, bytes) else _file_size(source)):
        raise UnreadableMedia("the file is empty (0 bytes)")
    try:
        target: io.BytesIO | str
        if isinstance(source, bytes):
            target, protocol = io.BytesIO(source), "none"
        else:
            target, protocol = os.path.abspath(source), "file"  # an absolute path is never taken for an address
        options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": protocol, "pattern_type": "none"}
        options |= {"max_samples": str(MOST_SAMPLES)} | pixel_limit(max_pixels)
        with av.open(target, "r", options=options, metadata_errors="replace") as container:
            yield container
    except FileNotFoundError as error:
        raise UnreadableMedia("the file does not exist") from error
    except av.error.FFmpegError as error:
        raise UnreadableMedia(
            f"not a video, sound or image file that can be decoded, or one that is cut off ({error.strerror})"
        ) from error


def _file_size(path: Path) -> int:
    """Bytes. Raises `UnreadableMedia` unless it is a regular file: opening a pipe or a device may wait for ever."""
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        gone = isinstance(error, FileNotFoundError)
        reason = "does not exist" if gone else f"cannot be read ({getattr(error, 'strerror', error)})"
        raise UnreadableMedia(f"the file {reason}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = next((name for is_kind, name in _KINDS.items() if is_kind(found.st_mode)), "a device")
        raise UnreadableMedia(f"not a file but {kind}")
    return found.st_size


def _turns(raw: av.VideoFrame) -> int:
    """Quarter turns counterclockwise that the rotation flag requires, 0 to 3."""
    return round((raw.rotation or 0) / 90) % 4


def iter_frames(
    source: Source,
    *,
    max_pixels: int = 0,
    max_frames: int = 0,
    on_audio: Callable[[av.AudioFrame], None] | None = None,
    threads: int = 0,
) -> Iterator[VideoFrame]:
    """Decodes the first video track and, if `on_audio` is given, calls it with the frames of the first sound track.

    threads: of the decoder, each of which holds pictures in memory; 0: one per core.

    Raises `UnreadableMedia`, `MissingStream` (no video track) or `TooLarge` (0 means no limit). A sound track
    that cannot be decoded raises nothing here: only a part of it reaches `on_audio`.
    """
    with open_media(source, max_pixels=max_pixels) as container:
        if not container.streams.video:
            raise MissingStream("the file has no video track")
        video = container.streams.video[0]
        check_codec(video)
        video.thread_type, video.thread_count = "AUTO", threads
        if max_pixels:
            _check_pixels(video.width, video.height, max_pixels)
            video.codec_context.options = pixel_limit(max_pixels)
        audio = [track for track in container.streams.audio[:1] if on_audio and track.codec_context]
        for track in audio:
            track.codec_context.options = sound_limit(track)
        rate = float(video.average_rate or 25)
        first: float | None = None
        index = 0
        converter = Converter()
        packets: Iterator[av.Packet[Any]] = container.demux(video, *audio)
        for packet in packets:
            if on_audio is not None and packet.stream.type == "audio":
                _hand_over(packet, on_audio)
                continue
            for raw in _pictures(packet, max_pixels if not video.width else 0):
                if max_frames and index >= max_frames:
                    raise TooLarge(f"the video has more than {max_frames} frames")
                if max_pixels:
                    _check_pixels(raw.width, raw.height, max_pixels)
                time = raw.time if raw.time is not None else index / rate
                first = time if first is None else first
                yield VideoFrame(index, time - first, raw, converter)
                index += 1


def _pictures(packet: av.Packet[Any], max_pixels: int) -> list[av.VideoFrame]:
    """max_pixels: if the container does not say the size, so that the decoder's refusal is the first word on it."""
    try:
        return packet.decode()
    except av.error.ArgumentError as error:
        if max_pixels:
            raise TooLarge(f"a picture has more than {max_pixels} pixels") from error
        raise


def check_codec(track: av.stream.Stream) -> None:
    """Raises `UnreadableMedia` if ffmpeg has no decoder for a track."""
    if track.codec_context is None:
        raise UnreadableMedia(f"the {track.type} track is in a codec that cannot be decoded")


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooLarge(f"a frame of {width}x{height} has more than {max_pixels} pixels")


def read_frames(source: Source, wanted: Collection[int], *, max_pixels: int = MOST_PIXELS) -> dict[int, VideoFrame]:
    """The frames with these numbers; those that the video does not have are left out. Raises as `iter_frames`."""
    found: dict[int, VideoFrame] = {}
    if not wanted:
        return found
    last = max(wanted)
    for frame in iter_frames(source, max_pixels=max_pixels):
        if frame.index in wanted:
            found[frame.index] = frame
        if frame.index >= last:
            break
    return found


def _hand_over(packet: av.Packet[AudioStream], on_audio: Callable[[av.AudioFrame], None]) -> None:
    try:
        for raw in packet.decode():
            on_audio(raw)
    except av.error.FFmpegError:
        return
