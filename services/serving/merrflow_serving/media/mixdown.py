"""Of several channels one: the mean of those that are heard, unless they cancel each other.

The choice holds for a whole clip, because a mix that changes on the way would change how a voice sounds. It is made on
the band of speech, so that hum, rumble and offsets have no say.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

BAND = (300.0, 3400.0)  # Hz: the telephone band of ITU-T G.712
_BLOCK = 4096  # samples, 0.256 s: about a syllable
_DEAD = 1e-3  # of the loudest channel's power (-30 dB): a channel with no more is left out
_CENTRE = 1e-2  # -20 dB: with this much, the centre has the dialogue (ITU-R BS.775)
_LOUD = 1e-2  # of the loudest block's power; quieter ones do not matter
_CANCELLED = 0.1  # -10 dB: of the loudest channel; two that have nothing to do with each other have -3 dB in the mean
_SHARE = 0.2  # of the sound, from which on that counts
_FAR_BELOW = 0.2  # -7 dB: of the mean over all of it


@dataclass(frozen=True)
class Mix:
    """How much of each channel is heard."""

    weights: tuple[float, ...]
    note: str = ""  # if it is not the mean of all: why


# What channels without names are by custom, as ffmpeg, too, takes them; of other numbers each may be a microphone.
_CUSTOM = {
    1: ("FC",),
    2: ("FL", "FR"),
    6: ("FL", "FR", "FC", "LFE", "BL", "BR"),
    8: ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}


def named(names: Iterable[str]) -> tuple[str, ...]:
    """The channels' names; those of custom if a file does not say them."""
    given = tuple(names)
    return _CUSTOM.get(len(given), given) if set(given) == {"NONE"} else given


def usual(names: tuple[str, ...]) -> Mix:
    """The mix of channels called so (FL, FR, FC, LFE, ...), before it is known what is in them."""
    if "FC" in names and len(names) > 2:
        return Mix(_only(len(names), names.index("FC")))
    heard = _without_effects(names)
    return Mix(tuple(1 / len(heard) if place in heard else 0.0 for place in range(len(names))))


@dataclass
class Levels:
    """Measures channels on the way, by blocks."""

    names: tuple[str, ...]
    rate: int  # Hz
    _rest: list[np.ndarray] = field(default_factory=list)
    _waiting: int = 0
    _power: list[np.ndarray] = field(default_factory=list)  # of each block: (channels,), in the band
    _mean: list[float] = field(default_factory=list)  # of each block: of the mean of the channels

    def add(self, channels: np.ndarray) -> None:
        """channels: (channels, samples) float32 without NaN."""
        if len(channels) < 2:  # nothing to choose
            return
        self._rest.append(channels)
        self._waiting += channels.shape[1]
        if self._waiting >= _BLOCK:
            whole = np.concatenate(self._rest, axis=1)
            end = whole.shape[1] // _BLOCK * _BLOCK
            for start in range(0, end, _BLOCK):
                self._measure(whole[:, start : start + _BLOCK])
            self._rest, self._waiting = [whole[:, end:].copy()], whole.shape[1] - end

    def mix(self) -> Mix:
        """The mix for what was measured."""
        if self._waiting:
            self._measure(np.concatenate(self._rest, axis=1))
            self._rest, self._waiting = [], 0
        if len(self.names) < 2 or not self._power:
            return usual(self.names)
        power, mean = np.stack(self._power), np.array(self._mean)
        total = power.sum(axis=0)
        heard = _without_effects(self.names)
        loudest = max(heard, key=lambda place: total[place])
        if total[loudest] <= 0:
            return usual(self.names)
        if len(self.names) > 2 and "FC" in self.names:
            centre = self.names.index("FC")
            if total[centre] >= _CENTRE * total[loudest]:
                return usual(self.names)
            heard = [place for place in heard if place != centre]
            mean = mean * ((len(heard) + 1) / len(heard)) ** 2
        live = [place for place in heard if total[place] >= _DEAD * total[loudest]]
        mean = mean * (len(heard) / len(live)) ** 2  # as the others are all but silent
        if len(live) > 1 and self._cancels(power[:, live].max(axis=1), mean, total[loudest]):
            return Mix(
                _only(len(self.names), loudest),
                f"the channels cancel each other, so only {self._called(loudest)} is heard",
            )
        weights = tuple(1 / len(live) if place in live else 0.0 for place in range(len(self.names)))
        if weights == usual(self.names).weights:
            return usual(self.names)
        return Mix(
            weights, f"of {len(self.names)} channels only these have sound: {', '.join(map(self._called, live))}"
        )

    def _cancels(self, loudest: np.ndarray, mean: np.ndarray, total: float) -> bool:
        loud = loudest >= _LOUD * loudest.max()
        gone = loud & (mean < _CANCELLED * loudest)
        return bool(loudest[gone].sum() > _SHARE * loudest.sum() or mean.sum() < _FAR_BELOW * total)

    def _measure(self, block: np.ndarray) -> None:
        spectrum = np.fft.rfft(block * _taper(block.shape[1]), _BLOCK)
        low, high = (round(edge * _BLOCK / self.rate) for edge in BAND)
        spectrum = spectrum[:, low:high]
        self._power.append(_power(spectrum).sum(axis=1))
        self._mean.append(float(_power(spectrum[_without_effects(self.names)].mean(axis=0)).sum()))

    def _called(self, place: int) -> str:
        return f"number {place + 1}" + ("" if self.names[place] == "NONE" else f" ({self.names[place]})")


def _power(spectrum: np.ndarray) -> np.ndarray:
    """The squares of absolute values, in a fifth of the time of `abs`, which takes a root."""
    squares: np.ndarray = spectrum.real**2 + spectrum.imag**2
    return squares


@lru_cache(maxsize=4)
def _taper(samples: int) -> np.ndarray:
    """(samples,), or loud hum leaks into the band. Never written to."""
    return np.hanning(samples)


def _without_effects(names: tuple[str, ...]) -> list[int]:
    """Places of the channels with more than effects at low frequencies."""
    return [place for place, name in enumerate(names) if not name.startswith("LFE")] or list(range(len(names)))


def _only(count: int, place: int) -> tuple[float, ...]:
    return tuple(float(number == place) for number in range(count))
