"""Damage that a decoder passes over in silence, found by a second decoder of the same packets that is stricter.

What ffmpeg's decoders of H.264, MPEG-1, 2 and 4 and AV1 find, they say. Its decoder of VP9 makes pictures of anything;
libvpx, which defines the format, refuses a damaged packet and all that are built on it, up to the next key frame. That
of VP8 too, but only if the first key frame is damaged, or the packet's end is missing. Of HEVC and Motion JPEG ffmpeg
says more if it is told to (`err_detect`), but also loses pictures that players show; so they are marked, and kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import av
import av.error
from av.codec.codec import UnknownCodecError

from merrflow_serving.media.bounds import pixel_limit

if TYPE_CHECKING:
    from av.video.stream import VideoStream

_STRICT = {"err_detect": "explode"}
_BY_OPTION = {"hevc": _STRICT, "mjpeg": _STRICT}
_BY_REFERENCE = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_BITS = 8  # of the libvpx in PyAV's wheels, which refuses all of a film with more


def strict_options(track: VideoStream) -> dict[str, str]:
    """Options with which the track's own decoder says more of what is damaged."""
    return _BY_OPTION.get(track.codec_context.codec.canonical_name, {})


def is_silent(track: VideoStream) -> bool:
    """Whether the track's own decoder cannot say what is damaged."""
    return track.codec_context.codec.canonical_name in _BY_REFERENCE


class StrictDecoder:
    """A second decoder beside that of a track, for the same packets in the same order."""

    def __init__(self, track: VideoStream, max_pixels: int) -> None:
        """max_pixels: of a picture, 0 for no limit; its decoder must be asked first, as libvpx has none."""
        name = track.codec_context.codec.canonical_name
        self._loses = name in _BY_REFERENCE
        self._doubtful: dict[int | None, av.error.FFmpegError] = {}  # by the time of a refused packet, in ticks
        self._broken: av.error.FFmpegError | None = None  # what was lost since the last key frame
        self._context = video = _context(name, track)
        if video is not None:
            video.extradata = track.codec_context.extradata
            video.thread_count = 1
            video.options = _BY_OPTION.get(name, {}) | pixel_limit(max_pixels)

    def loss(self, packet: av.Packet[Any], failure: av.error.FFmpegError | None) -> av.error.FFmpegError | None:
        """Takes the next packet. The error if there is no picture of it, or garbage; else None.

        failure: of the track's own decoder. libvpx is not asked about such a packet, whose size nobody has checked, nor
        about what is built on it.
        """
        if self._context is None or not packet.size:
            return failure
        if self._loses:
            self._broken = failure or (None if packet.is_keyframe else self._broken)
            if self._broken:
                return self._broken
        try:
            self._context.decode(packet)
        except av.error.FFmpegError as error:
            if self._loses:
                return error
            if failure is None:
                self._doubtful[packet.pts] = error
        return failure

    def is_damaged(self, picture: av.VideoFrame) -> bool:
        """Whether a picture of the track's decoder has made up parts. Each picture is asked about once."""
        return self._doubtful.pop(picture.pts, None) is not None or picture.is_corrupt

    def without_picture(self) -> list[av.error.FFmpegError]:
        """One for each refused packet of which no picture came, once all have come."""
        return list(self._doubtful.values())


def _context(codec: str, track: VideoStream) -> av.VideoCodecContext | None:
    """None if there is no stricter decoder of such pictures in this build of ffmpeg."""
    deep = track.format is not None and max(part.bits for part in track.format.components) > _BITS
    if codec not in _BY_OPTION and (codec not in _BY_REFERENCE or deep):
        return None
    try:
        return cast("av.VideoCodecContext", av.CodecContext.create(_BY_REFERENCE.get(codec, codec), "r"))
    except UnknownCodecError:
        return None
