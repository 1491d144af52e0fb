"""What a clip's file says of itself before anything is decoded, and whether it keeps that promise."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import av.stream
from av.container import InputContainer
from av.video.stream import VideoStream

from merrflow.core.measurements import Probe, Shot
from merrflow_serving.errors import TooLarge, UnreadableMedia
from merrflow_serving.media.container import clock_may_jump
from merrflow_serving.media.tracks import matroska_seconds
from merrflow_serving.media.video import VideoFrame

# The larger of these may be missing at the end of a whole file: headers round, and sound and picture end apart.
MISSING_SHARE = 0.1
MISSING_SECONDS = 0.5


@dataclass(frozen=True)
class Header:
    """What a file says of itself before anything is decoded."""

    promised: float | None  # seconds; None if it does not say
    start: float  # seconds on the clock of the file: the beginning of what is promised
    with_sound: bool  # the promise is kept by whichever track lasts longest
    has_audio: bool
    several_tracks: bool  # of video

    def pictures(self, track: VideoStream) -> tuple[Probe, Fraction] | None:
        """What it says of the pictures of `track`, and their rate; None if it does not say how many there are."""
        rate = track.average_rate or Fraction(0)
        count = track.frames or round((self.promised or 0.0) * rate)
        if count < 1 or rate <= 0:
            return None
        seconds = round(float(count / rate), 3)
        return Probe(track.width, track.height, round(float(rate), 3), count, seconds, (Shot(0, count),), None), rate

    def check(self, last: VideoFrame, audio_seconds: float) -> None:
        """Raises `UnreadableMedia` if decoding ended at `last`, well before the promised end.

        Frames are no measure: a cut without encoding keeps the frames before the cut in the file, hidden by an
        edit list, and some containers count nothing.
        """
        if self.promised is None:
            return
        lasting = max(1 / mean_rate(last), float((last.raw.duration or 0) * (last.raw.time_base or 0)))
        reached = last.timestamp + lasting
        if last.raw.time is not None:  # as undecodable frames at the start do not make the end missing
            reached = max(reached, last.raw.time + lasting - self.start)
        if self.with_sound:
            reached = max(reached, audio_seconds)
        if self.promised - reached > max(MISSING_SHARE * self.promised, MISSING_SECONDS):
            raise UnreadableMedia(
                f"the file is cut off: only {reached:.1f} of its {self.promised:.1f} seconds can be decoded"
            )


def read_header(container: InputContainer, video: VideoStream, max_seconds: float) -> Header:
    """Reads the promise of an opened file, whose film is `video`. Raises `TooLarge` if it promises too much."""
    tracks = bool(container.streams.audio), len(container.streams.video) > 1
    if clock_may_jump(container):  # so that its last time says nothing of its length
        return Header(None, 0.0, False, *tracks)
    if container.duration and container.duration / av.time_base > max_seconds * 1.05:
        raise TooLarge(f"the clip is longer than {max_seconds:g} seconds")
    return Header(*_promised_length(container, video), *tracks)


def _promised_length(container: InputContainer, video: VideoStream) -> tuple[float | None, float, bool]:
    """`Header.promised`, `start` and `with_sound`, from the best source that the container has."""
    if av.stream.Disposition.attached_pic in video.disposition:  # a cover picture lasts as long as its music
        return None, 0.0, False
    if container.format.name == "avi" and video.frames:  # its duration is made up from the size of the file
        return float(video.frames * _time_base(video)), 0.0, False
    if video.duration is not None:
        base = _time_base(video)
        return float(video.duration * base), float((video.start_time or 0) * base), False
    if container.duration is None:
        return None, 0.0, False
    whole = container.duration / av.time_base
    track = matroska_seconds(video)  # both count from the clock's zero
    return (min(track, whole), 0.0, False) if track else (whole, 0.0, True)


def _time_base(video: VideoStream) -> Fraction:
    """Seconds in one tick of the clock of an opened file's stream."""
    assert video.time_base is not None
    return video.time_base


def mean_rate(last: VideoFrame) -> float:
    """Mean frames a second up to the last frame."""
    return last.index / last.timestamp if last.timestamp > 0 else 25.0
