"""Opening of media files: only regular files that contain their media, within bounds."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import av
import av.error
import av.stream
from av.codec.codec import Codec, UnknownCodecError

from merrflow_serving.errors import UnreadableMedia
from merrflow_serving.media.bounds import MOST_PIXELS, MOST_SAMPLES, pixel_limit

Source = Path | bytes
Track = TypeVar("Track", bound=av.stream.Stream)
# ffmpeg also has formats that refer to other files or addresses (playlists, concat, SDP): a clip must not make it open
# these, so only formats that contain their media are accepted. Names of ffmpeg's demuxers.
FORMATS = (
    *("mov", "matroska", "avi", "mpeg", "mpegts", "flv", "live_flv", "asf", "ogg", "gif", "apng", "mxf", "nut", "dv"),
    *("rm", "h264", "hevc", "m4v", "mpegvideo", "mjpeg", "mjpeg_2000", "obu", "av1", "ivf", "h263", "vc1"),
    *("yuv4mpegpipe", "wtv"),
    *("wav", "w64", "mp3", "flac", "aac", "ac3", "eac3", "aiff", "au", "caf", "amr", "wv", "ape", "tta", "loas"),
    *("image2", "jpeg_pipe", "png_pipe", "webp_pipe", "bmp_pipe", "tiff_pipe", "gif_pipe", "jpegxl_pipe", "j2k_pipe"),
    *("ppm_pipe", "pgm_pipe", "jpegls_pipe", "jpegxl_anim"),
)
_MOST_FAILED_READS = 10  # in a row
_KINDS = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe", stat.S_ISSOCK: "a socket"}


@contextmanager
def open_media(
    source: Source, *, max_pixels: int = MOST_PIXELS, sound_only: bool = False
) -> Iterator[av.container.InputContainer]:
    """Opens a file or bytes. Raises `UnreadableMedia` if ffmpeg cannot open it, or fails inside the block.

    Only regular files in one of `FORMATS`: no file or address that the media refer to is opened. max_pixels: ffmpeg
    decodes pictures already on opening, to know their size; above this (0: no limit) it does not. sound_only:
    it decodes none, which saves most of the time; less is then known of the video tracks.
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
        if sound_only:
            options["codec_whitelist"] = _sound_decoders()
        with av.open(target, "r", options=options, metadata_errors="replace") as container:
            yield container
    except FileNotFoundError as error:
        raise UnreadableMedia("the file does not exist") from error
    except av.error.FFmpegError as error:
        raise UnreadableMedia(
            f"not a video, sound or image file that can be decoded, or one that is cut off ({error.strerror})"
        ) from error


def packets(
    container: av.container.InputContainer,
    tracks: Track | list[Track],
    on_damage: Callable[[av.error.FFmpegError], None],
) -> Iterator[av.Packet[Track]]:
    """All packets that can be read. on_damage: called with the error of each failed read. Raises ffmpeg's error if
    reading fails again and again."""
    failed = 0
    given: Any = tracks  # PyAV's types do not say that its packets are of these tracks
    while True:
        try:
            for packet in container.demux(given):
                failed = 0
                yield packet
            return
        except av.error.InvalidDataError as error:
            failed += 1
            on_damage(error)
            if failed >= _MOST_FAILED_READS:
                raise


@cache
def _sound_decoders() -> str:
    """The names of all that this build of ffmpeg has, with commas between them."""
    found = set()
    for name in av.codecs_available:
        with suppress(UnknownCodecError):  # it only encodes
            codec = Codec(name, "r")
            if codec.type == "audio":
                found.add(codec.name)
    return ",".join(sorted(found))


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


def check_codec(track: av.stream.Stream) -> None:
    """Raises `UnreadableMedia` if ffmpeg has no decoder for a track."""
    if track.codec_context is None:
        raise UnreadableMedia(f"the {track.type} track is in a codec that cannot be decoded")


def clock_may_jump(container: av.container.InputContainer) -> bool:
    """Whether the format is one of recordings, whose clock may be set anew at any moment, as where two are joined."""
    return bool(av.format.Flags(container.format.flags) & av.format.Flags.ts_discont)
