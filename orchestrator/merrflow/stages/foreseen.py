"""The frames that the picture will probably be made of, kept while the clip is decoded for the probe.

If Action Units are given, the peak is known before the clip is decoded, but for what cuts and sound say to it. So the
frames around that peak are kept as they were decoded, and the file need not be decoded once more. If the peak turns out
to be another one, or there is no room for the frames, they are read again; the pictures are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from merrflow.core.measurements import ActionUnitSeries, Probe
from merrflow.formats.precomputed import GivenUnits, PrecomputedPeaks, PrecomputedUnits
from merrflow.stages import peak, probe, shown, subject
from merrflow.stages.peak_frame import frames_of
from merrflow.stages.probe import Decoded, Given
from merrflow.stages.shown import Choice
from merrflow.stages.stage import Skip, Work
from merrflow_serving.errors import MerrflowError
from merrflow_serving.media.video import VideoFrame


class Foresight:
    """Keeps the frames of one clip while it is decoded."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._wanted: frozenset[int] = frozenset()
        self._read: tuple[Any, Probe, Sequence[float], GivenUnits] | None = None
        work.run.frames.begin(work.clip.name)

    def begin(self, promised: Probe, rate: Fraction) -> None:
        """Reads the Action Units, if the header's promise fits them."""
        try:
            self._wanted = self._foreseen(promised, rate)
        except (MerrflowError, OSError):  # the stage that needs them will say what is wrong with them
            return

    def see(self, frame: VideoFrame) -> None:
        """Holds the frame if it is wanted, as it was decoded: without what the probe has made of it."""
        if frame.index in self._wanted:
            size = sum(plane.buffer_size for plane in frame.raw.planes)
            self._work.run.frames.add(self._work.clip.name, replace(frame), size)

    def given(self, decoded: Decoded) -> Given | None:
        """The Action Units, if the clip is what its header promised."""
        if self._read is None:
            return None
        key, promised, times, units = self._read
        return Given(key, units) if (_pictures(decoded.probe), decoded.times) == (_pictures(promised), times) else None

    def _foreseen(self, promised: Probe, rate: Fraction) -> frozenset[int]:
        run, clip = self._work.run, self._work.clip
        if isinstance(run.precomputed, PrecomputedPeaks):
            top, _ = run.precomputed.peak(clip, promised)
            return frames_of(promised, top, Choice())
        assert isinstance(run.precomputed, PrecomputedUnits)
        key = run.precomputed.cache_key(clip)  # before the file is read
        times = tuple(round(index / float(rate), 6) for index in range(promised.frame_count))
        units = run.precomputed.read(clip, promised, times)
        self._read = key, promised, times, units
        return self._by_units(units.series, promised)

    def _by_units(self, series: ActionUnitSeries, promised: Probe) -> frozenset[int]:
        person, rules = subject.choose(series), self._work.run.rules.peak
        if isinstance(person, Skip):
            return frozenset()
        top = peak.find(series, person, rules)
        if isinstance(top, Skip):
            return frozenset()
        return frames_of(promised, top, shown.find(series, person, promised, top, rules))


def _pictures(of: Probe) -> tuple[float, ...]:
    """What the reader of Action Units takes from a probe."""
    return of.width, of.height, of.fps, of.frame_count


async def _decode(work: Work) -> Decoded:
    foresight = Foresight(work)
    decoded = await probe.decode_clip(work, foresight)
    return replace(decoded, given=foresight.given(decoded))


DECODED = replace(probe.DECODED, compute=_decode)
