"""Decoded frames of sound become one array: resampled, mixed down, in their places in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import av
import numpy as np

from merrflow_serving.errors import TooLarge, UnreadableMedia
from merrflow_serving.media.bounds import MOST_CHANGES, MOST_VALUES, check_rate
from merrflow_serving.media.mixdown import Levels, Mix, named, usual
from merrflow_serving.media.resampling import Resampler
from merrflow_serving.media.sound_clock import TOLERANCE, SoundClock

SAMPLE_RATE = 16_000  # Hz
LONGEST_SILENCE = 600.0  # seconds between the beginnings of sound and picture, or in a gap, if there is no other limit
_AT_ONCE = SAMPLE_RATE  # samples that are mixed at once: codecs have frames of 1,000, and each call has its cost
_OFFSET = 0.01  # -40 dBFS: more than this is a fault of a recorder; no codec or voice has it
_TOO_LOUD = 2.0  # +6 dBFS: no decoder overshoots as far; such floats are on another scale


@dataclass(frozen=True)
class Recording:
    """A track on its own clock."""

    samples: np.ndarray
    start: float | None  # seconds on the container's clock; None if it has no times
    mixes: Mapping[tuple[str, ...], Mix]  # by the channels' names: how they were mixed, or should have been
    filled: float  # seconds of silence for what was missing
    damaged: int = 0  # packets that could not be decoded


class AudioCollector:
    """Joins decoded sound frames to one array: 16 kHz, one channel, [-1, 1], no NaN; gaps in their times are silent.

    ffmpeg's own mix to mono adds the channels at 0.707 each, which makes speech 3 dB louder and clips it; so channels
    are mixed here, see `mixdown`.
    """

    def __init__(
        self,
        max_seconds: float = 0.0,
        margin: float = 1.0,
        *,
        joined: bool = False,
        mixes: Mapping[tuple[str, ...], Mix] | None = None,
    ) -> None:
        """max_seconds: more is refused, 0 for no limit; margin: by how much the limit may be exceeded (a factor).

        joined: the format may hold recordings with a clock each. mixes: by the channels' names; the usual for others.
        """
        self._max_seconds = max_seconds
        self._most = max_seconds * margin * SAMPLE_RATE
        self._clock = SoundClock(max_seconds or LONGEST_SILENCE, joined=joined)
        self._given = mixes or {}
        self._levels: dict[tuple[str, ...], Levels] = {}
        self._resampler: Resampler | None = None
        self._kind: tuple[str, str, int] | None = None
        self._changes = 0  # of it
        self._names: tuple[str, ...] = ()
        self._unmixed: list[np.ndarray] = []  # of the channels `_names`, (samples, channels) each
        self._waiting = 0  # samples in them
        self._resampling = 0.0  # samples that will come of what the resampler holds
        self._parts: list[np.ndarray] = []
        self._doubtful: av.AudioFrame | None = None  # its time is to be confirmed
        self._late = 0  # samples to come that are there already
        self._mixed = 0  # samples in `_parts`

    @property
    def size(self) -> int:
        """Samples so far."""
        return self._mixed + max(0, self._waiting + int(self._resampling) - self._late)

    def add(self, frame: av.AudioFrame) -> None:
        """Takes the next frame. A stream may change its layout or rate in the middle.

        Raises `UnreadableMedia` for a rate that no sound has or too many changes, `TooLarge` above the limit; all
        before it resamples, by which a few bytes can become gigabytes.
        """
        check_rate(frame.sample_rate)
        time = frame.time
        if self._doubtful is not None:
            self._settle(time)
        if self._clock.doubts(time):
            self._doubtful = frame
        else:
            self._add(frame, time)

    def finish(self) -> np.ndarray:
        """(samples,) float32."""
        self._settle(None)
        self._flush()
        samples = np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)
        return _levelled(samples)

    def _settle(self, time: float | None) -> None:
        """Takes the frame that waits: by its time, if one of `time` goes on from there, else behind the last one."""
        frame, self._doubtful = self._doubtful, None
        if frame is not None:
            assert frame.time is not None
            end = frame.time + frame.samples / frame.sample_rate
            confirmed = time is not None and abs(time - end) <= TOLERANCE
            self._add(frame, frame.time if confirmed else None)

    def _add(self, frame: av.AudioFrame, time: float | None) -> None:
        samples, rate, layout = frame.samples, frame.sample_rate, frame.layout
        coming = samples * SAMPLE_RATE / rate
        self._check(self.size + coming - SAMPLE_RATE)  # a second less: the resampler rounds
        if coming * layout.nb_channels > MOST_VALUES:
            raise UnreadableMedia(f"a frame of sound has {samples} samples of {layout.nb_channels} channels")
        begin = self._clock.place(time, samples / rate)
        if begin is not None:
            self._go_to(round(begin * SAMPLE_RATE))
        kind = (frame.format.name, layout.name, rate)
        if self._resampler is None or kind != self._kind:
            self._changes += kind != self._kind
            if self._changes > MOST_CHANGES:
                raise UnreadableMedia(f"the sound changes its rate or channels more than {MOST_CHANGES} times")
            self._flush()
            self._resampler = Resampler(frame, layout.name, SAMPLE_RATE)
            self._kind = kind
            self._names = named(channel.name for channel in layout.channels)
        self._resampling += coming
        if pieces := self._resampler.add(frame):
            self._take(pieces)
        self._check(self.size)

    def recording(self, damaged: int) -> Recording:
        """What `finish` returns, and what is known of it. damaged: packets that could not be decoded."""
        samples = self.finish()
        mixes = {names: levels.mix() for names, levels in self._levels.items()}
        return Recording(samples, self._clock.start, mixes, self._clock.filled, damaged)

    def _check(self, size: float) -> None:
        if self._max_seconds and size > self._most:
            raise TooLarge(f"the sound is longer than {self._max_seconds:g} seconds")

    def _go_to(self, place: int) -> None:
        """The next sample belongs to `place`: fills the gap, or cuts what overlaps."""
        self._flush()
        if place < self.size:
            self._late = self.size - place
        else:
            self._check(place)
            self._late = 0
            self._parts.append(np.zeros(place - self.size, np.float32))
            self._mixed = place

    def _flush(self) -> None:
        if self._resampler is not None:
            self._take(self._resampler.finish())
            self._mix()
            self._resampler, self._resampling = None, 0.0

    def _take(self, pieces: list[np.ndarray]) -> None:
        self._unmixed += pieces
        ready = sum(map(len, pieces))
        self._waiting += ready
        self._resampling = max(0.0, self._resampling - ready)
        if self._waiting >= _AT_ONCE:
            self._mix()

    def _mix(self) -> None:
        """What waits becomes one channel."""
        if not self._waiting:
            return
        channels = np.ascontiguousarray(np.concatenate(self._unmixed).T)
        if not np.isfinite(channels).all():
            channels = np.nan_to_num(channels, nan=0.0, posinf=1.0, neginf=-1.0)
        self._levels.setdefault(self._names, Levels(self._names, SAMPLE_RATE)).add(channels)
        weights = np.array(self._given.get(self._names, usual(self._names)).weights, np.float32)
        mixed = (weights[:, None] * channels).sum(axis=0, dtype=np.float32)[self._late :]
        self._late = max(0, self._late - self._waiting)
        self._parts.append(mixed)
        self._mixed += mixed.size
        self._unmixed, self._waiting = [], 0


def _levelled(samples: np.ndarray) -> np.ndarray:
    """Without a recorder's constant offset, and in [-1, 1]; silence that was filled in stays silent."""
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > _TOO_LOUD:
        samples = samples / max(1.0, float(np.quantile(np.abs(samples), 0.999)))
    samples = samples.clip(-1.0, 1.0)
    loud = np.count_nonzero(samples)
    if abs(float(samples.sum(dtype=np.float64))) <= 0.9 * _OFFSET * loud:  # 0.9: the sum below may round otherwise
        return samples
    heard = samples != 0
    offset = float(samples[heard].mean(dtype=np.float64))
    if abs(offset) <= _OFFSET:
        return samples
    return np.where(heard, samples - np.float32(offset), samples).clip(-1.0, 1.0)
