"""The film's pictures as the decoder gives them, also of a damaged file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import av
import av.error

from merrflow_serving.errors import TooManyPixels, UnreadableMedia
from merrflow_serving.media.bounds import pixel_limit
from merrflow_serving.media.container import Source, check_codec, clock_may_jump, open_media, packets
from merrflow_serving.media.orientation import PixelShape, square
from merrflow_serving.media.strict import StrictDecoder, is_silent, strict_options
from merrflow_serving.media.tracks import video_track

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

MOST_DAMAGE = 10_000  # packets; a file with more would keep the decoder busy for nothing
_DAMAGE = (
    av.error.InvalidDataError,
    av.error.PatchWelcomeError,
    av.error.BugError,
    av.error.UnknownError,
    av.error.ExternalError,
)
OnDamage = Callable[[], None]
OnOpen = Callable[["InputContainer", "VideoStream"], None]


class Decoded(NamedTuple):
    """A picture, and what the file says of it."""

    raw: av.VideoFrame
    pixel_ratio: float  # width over height of a pixel
    rate: float | None  # frames a second, by the header
    resets: bool  # the format allows the clock to jump
    interlaced: bool  # two fields, which were taken one after the other
    damaged: bool  # parts are missing or made up


class _DamagedError(Exception):
    """The file is damaged, or its decoder would not say so."""


def decode(
    source: Source, max_pixels: int, on_damage: OnDamage | None, threads: int, on_open: OnOpen | None = None
) -> Iterator[Decoded]:
    """What one thread decodes, whatever `threads` is. Arguments and errors as of `video.iter_frames`.

    Of a damaged file several threads lose other pictures than one does. So that everyone counts the same frames,
    decoding begins again at the first damage: with one thread, and a stricter decoder beside it that says what else is
    damaged.
    """
    seen = 0
    try:
        for decoded in _decode(source, max_pixels, _Damage(None), threads, on_open):
            seen += 1
            yield decoded
        return
    except _DamagedError:
        pass
    damage = _Damage(on_damage or (lambda: None))
    yield from islice(_decode(source, max_pixels, damage, 1), seen, None)


class _Damage:
    """What cannot be read of one file. on_damage: None does not put up with any."""

    def __init__(self, on_damage: OnDamage | None) -> None:
        self._on_damage = on_damage
        self.tolerates = on_damage is not None
        self._count = 0
        self._owed = 0  # packets without a picture so far
        self.first: av.error.FFmpegError | None = None

    def add(self, error: av.error.FFmpegError) -> None:
        """Raises `_DamagedError` where no damage is put up with, `UnreadableMedia` for too much of it."""
        if self._on_damage is None:
            raise _DamagedError from error
        self.first = self.first or error
        self._count += 1
        if self._count > MOST_DAMAGE:
            raise UnreadableMedia(f"more than {MOST_DAMAGE} packets of the file are damaged") from error
        self._on_damage()

    def see(self, packet: av.Packet[Any], pictures: list[av.VideoFrame]) -> None:
        """Raises `_DamagedError` for damaged or missing pictures where none are put up with.

        At the end of a file, several threads drop damaged pictures, and whole ones with them, without an error.
        """
        self._owed += bool(packet.size and not packet.is_discard) - len(pictures)
        is_end = packet.size == 0 and packet.dts is None
        if self._on_damage is None and ((is_end and self._owed > 0) or any(raw.is_corrupt for raw in pictures)):
            raise _DamagedError


def _decode(
    source: Source, max_pixels: int, damage: _Damage, threads: int, on_open: OnOpen | None = None
) -> Iterator[Decoded]:
    with open_media(source, max_pixels=max_pixels) as container:
        video = video_track(source, container)
        if on_open:
            on_open(container, video)
        check_codec(video)
        video.thread_type, video.thread_count = "AUTO", threads
        if not damage.tolerates and is_silent(video):
            raise _DamagedError
        if max_pixels:
            _check_pixels(video.width, video.height, max_pixels)
        video.codec_context.options = pixel_limit(max_pixels) | ({} if damage.tolerates else strict_options(video))
        rate = float(video.average_rate) if video.average_rate else None
        resets = clock_may_jump(container)
        shape = PixelShape(video)
        strict = StrictDecoder(video, max_pixels) if damage.tolerates else None
        empty = True
        for packet in packets(container, video, damage.add):
            pictures = _pictures(packet, max_pixels if not video.width else 0, damage, strict)
            damage.see(packet, pictures)
            for raw in pictures:
                ratio = shape.ratio
                if max_pixels:
                    _check_pixels(*square(raw.width, raw.height, ratio), max_pixels)
                is_damaged = strict is not None and strict.is_damaged(raw)
                yield Decoded(raw, ratio, rate, resets, raw.interlaced_frame, is_damaged)
                empty = False
        for error in strict.without_picture() if strict else ():
            damage.add(error)
        if empty and damage.first is not None:
            raise damage.first


def _pictures(
    packet: av.Packet[Any], max_pixels: int, damage: _Damage, strict: StrictDecoder | None
) -> list[av.VideoFrame]:
    """max_pixels: if the container does not say the size, so that the decoder's refusal is the first word on it."""
    failure: av.error.FFmpegError | None = None
    try:
        pictures = packet.decode()
    except av.error.ArgumentError as error:
        if max_pixels:
            raise TooManyPixels(f"a picture has more than {max_pixels} pixels") from error
        raise
    except _DAMAGE as error:
        pictures, failure = [], error
    lost = strict.loss(packet, failure) if strict else failure
    if lost:
        damage.add(lost)
        return []
    return pictures


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooManyPixels(f"a frame of {width}x{height} has more than {max_pixels} pixels")
