"""Which video track of a file is the film: no cover, no thumbnails, and the one that a player would show."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

import av
from av.stream import Disposition, Stream

from merrflow_serving.errors import MissingStream, UnreadableMedia
from merrflow_serving.media.container import Source, open_media

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_ASIDE = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_PICTURES = frozenset({"mjpeg", "png", "bmp", "gif", "webp", "tiff", "jpeg2000", "jpegls", "jpegxl", "ppm", "mjpegb"})
_MOST_READ = 100_000  # packets; hours of film


def video_track(source: Source, container: InputContainer) -> VideoStream:
    """The track of `container`, which is `source` opened, that is the film.

    Covers, thumbnails and stills are passed over, whether the file marks them or they show by having one picture. Of
    what is left the default track comes first, then the largest (picture times length), then the first.

    Raises `MissingStream` if no track is a film. A file that is one picture, without sound, is one.
    """
    tracks = container.streams.video
    if not tracks:
        raise MissingStream("the file has no video track")
    with_sound = bool(container.streams.audio)
    films = [track for track in tracks if not track.disposition & _ASIDE] or ([] if with_sound else list(tracks))
    if len(films) > 1 or (films and with_sound and _kind(films[0]) in _PICTURES):
        stills = _stills(source, films)
        moving = [track for track in films if track.index not in stills]
        films = moving or [track for track in films if not (with_sound and _kind(track) in _PICTURES)]
    if not films:
        raise MissingStream("the file has no video track: only a cover, or a single picture, beside its sound")
    return max(films, key=lambda track: _rank(container, track))


def _kind(track: VideoStream) -> str:
    return track.codec_context.name if track.codec_context else ""


def _rank(container: InputContainer, track: VideoStream) -> tuple[bool, bool, float, int]:
    """What a player goes by; the largest is shown."""
    codec = track.codec_context
    if codec is None:  # ffmpeg has no decoder
        return False, False, 0.0, -track.index
    seconds = float(track.duration * track.time_base) if track.duration and track.time_base else 0.0
    seconds = seconds or matroska_seconds(track) or (container.duration or 0) / av.time_base or 1.0
    return True, bool(track.disposition & Disposition.default), track.width * track.height * seconds, -track.index


def matroska_seconds(track: Stream) -> float:
    """When a track ends, by the tag that Matroska files have, such as "00:01:02.345000000"; 0 without one."""
    text = track.metadata.get("DURATION", "").strip()
    match = re.fullmatch(r"(\d{1,6}):(\d\d):(\d\d(?:\.\d{1,20})?)", text)
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else 0.0


def _stills(source: Source, tracks: list[VideoStream]) -> set[int]:
    """Indices of the tracks that have a single picture. Reads on until each has shown two, without decoding."""
    seen = dict.fromkeys((track.index for track in tracks), 0)
    with suppress(UnreadableMedia), open_media(source) as container:
        for packet in islice(container.demux(), _MOST_READ):
            if packet.stream_index in seen:
                seen[packet.stream_index] += bool(packet.size)
            if min(seen.values()) > 1:
                break
    return {index for index, count in seen.items() if count < 2}
