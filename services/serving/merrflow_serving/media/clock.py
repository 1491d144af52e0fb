"""Times of a video's frames, mended where the file's own cannot be: missing, repeated, running backwards or jumping."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

Picture = TypeVar("Picture")
DOUBT = 1.0  # seconds; a longer step is believed only if the next picture goes on from there
JUMP = 10.0  # seconds; ffmpeg's dts_delta_threshold: in a recording, a longer step is another clock and no pause
_MOST_HELD = 8  # pictures held back at most until it is clear when they are shown; each is a whole picture in memory
_USUAL_RATE = 25.0
_RATES = 1.0, 1000.0  # frames a second; others are a fault of the header


class FrameClock(Generic[Picture]):
    """Gives each picture its time in seconds from the first, strictly ascending.

    A time that follows the last one is kept as it is. Any other picture waits for the next: if that follows, only this
    one was out of place and is put between; if the two follow each other, the file's clock was set anew, and time goes
    on. A pause of any length is believed, but in recordings (`resets`), whose clock may be set anew at any moment.
    """

    def __init__(self, rate: float | None, *, resets: bool) -> None:
        """rate: frames a second by the header; resets: the container's format allows the clock to jump."""
        low, high = _RATES
        self._rate = rate if rate and low <= rate <= high else _USUAL_RATE
        self._resets = resets
        self._shift: float | None = None  # the file's time of 0 on our clock; None until a picture has a time
        self._count = 0
        self._last = 0.0
        self._held: list[tuple[Picture, float]] = []
        self.start: float | None = None  # seconds on the file's clock at which the first picture is shown, once known

    def add(self, picture: Picture, time: float | None) -> Iterator[tuple[Picture, float]]:
        """The pictures whose time is now known, in order, with their times. time: the file's, in seconds."""
        if time is None:
            time = self._expected()
            if time is None:
                yield self._put(picture, self._count / self._rate)
                return
        if self._shift is None:
            self._shift = self.start = time - (self._count / self._rate if self._count else 0.0)
            yield self._put(picture, time - self._shift)
        elif self._follows(time):
            yield from self._spread(time - self._shift)
            yield self._put(picture, time - self._shift)
        elif self._held and (0 < time - self._held[-1][1] <= JUMP or len(self._held) == _MOST_HELD):
            yield from self._set_anew()
            yield from self.add(picture, time)
        else:
            self._held.append((picture, time))

    def finish(self) -> Iterator[tuple[Picture, float]]:
        """The pictures that were held back, after the last."""
        if self._held:
            yield from self._set_anew()

    def _expected(self) -> float | None:
        """When a picture without a time would be shown, on the file's clock."""
        if self._held:
            return self._held[-1][1] + 1 / self._rate
        return None if self._shift is None else self._shift + self._last + 1 / self._rate

    def _follows(self, time: float) -> bool:
        assert self._shift is not None
        step = time - self._shift - self._last
        return 0 < step <= DOUBT

    def _spread(self, end: float) -> Iterator[tuple[Picture, float]]:
        """Puts what is held evenly behind the last picture, before `end`."""
        step = min(1 / self._rate, (end - self._last) / (len(self._held) + 1))
        held, self._held = self._held, []
        for picture, _ in held:
            yield self._put(picture, self._last + step)

    def _set_anew(self) -> Iterator[tuple[Picture, float]]:
        """Puts what is held behind the last picture; the file's clock counts from there."""
        assert self._shift is not None
        held, self._held = self._held, []
        for picture, time in held:
            step = time - self._shift - self._last
            if step <= 0 or (self._resets and step > JUMP):
                self._shift = time - (self._last + 1 / self._rate)
            yield self._put(picture, time - self._shift)

    def _put(self, picture: Picture, time: float) -> tuple[Picture, float]:
        self._count, self._last = self._count + 1, time
        return picture, time
