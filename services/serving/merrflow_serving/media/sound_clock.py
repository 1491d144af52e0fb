"""Where decoded sound belongs in time: gaps, overlaps, and clocks that jump."""

from __future__ import annotations

TOLERANCE = 0.04  # seconds, a picture at 25 a second: containers round times, and recorders stamp them unevenly
DOUBT = 0.1  # seconds; a longer step is believed only if the next frame goes on from there
LONGEST_OVERLAP = 1.0  # seconds; a clock that goes further back was set back
# Joined recordings (MPEG-TS): as ffmpeg's dts_delta_threshold, more than 10 s ahead or 0.1 s back is another clock.
LONGEST_GAP_OF_JOINED, LONGEST_OVERLAP_OF_JOINED = 10.0, 0.1


class SoundClock:
    """Follows the times of one track's frames."""

    def __init__(self, longest_gap: float, *, joined: bool = False) -> None:
        """longest_gap: seconds; what is further ahead is another clock. joined: the format may hold several clocks."""
        self._ahead = min(longest_gap, LONGEST_GAP_OF_JOINED) if joined else longest_gap
        self._back = LONGEST_OVERLAP_OF_JOINED if joined else LONGEST_OVERLAP
        self.start: float | None = None  # seconds on the container's clock: the first sample; None if not known yet
        self._passed = 0.0  # seconds of sound before the first time
        self._next = 0.0  # seconds: when the next frame is due
        self._shift = 0.0  # seconds between the clock of now and the first one
        self.filled = 0.0  # seconds of gaps so far

    def doubts(self, time: float | None) -> bool:
        """Whether a frame of this time is so far from where it is due that the next frame must confirm it."""
        return self.start is not None and time is not None and abs(time + self._shift - self._next) > DOUBT

    def place(self, time: float | None, seconds: float) -> float | None:
        """Takes the next frame: its time on the container's clock (None: it has none), and how long it lasts.

        Returns None if it goes on where the last one ended, else seconds from the first sample to its beginning.
        """
        if self.start is None:
            if time is None:
                self._passed += seconds
                return None
            self.start, self._next = time - self._passed, time
        elif time is not None:
            off = time + self._shift - self._next
            if not -self._back <= off <= self._ahead:
                self._shift -= off
            elif abs(off) > TOLERANCE:
                self._next += off
                self.filled += max(off, 0.0)
                begin = self._next - self.start
                self._next += seconds
                return begin
        self._next += seconds
        return None
