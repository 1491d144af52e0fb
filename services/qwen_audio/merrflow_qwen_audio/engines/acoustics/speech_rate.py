"""Speech rate: syllables and pauses.

Syllable nuclei as de Jong & Wempe (2009), Praat script to detect syllable nuclei and measure speech rate
automatically, Behavior Research Methods 41(2), 385-390: peaks of intensity, each at least 2 dB above the dips beside
it, not too far below the loudest, and voiced. It needs no transcript and no language. Intensity is taken in
300-3300 Hz (as Pfau & Ruske 1998 and others do), where vowels are strong and bass of music and hiss are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from merrflow_qwen_audio.arrays import Floats, FrameNumbers, Mask, Sound
from merrflow_qwen_audio.engines.acoustics.frames import HOP, SAMPLE_RATE, band_pass, decibels, frame_power
from merrflow_qwen_audio.types import Span

BAND = (300.0, 3300.0)  # Hz
WINDOW = 1024  # samples: 64 ms, the effective length of Praat's window at a pitch floor of 50 Hz
DIP = 2.0  # dB
RANGE = 25.0  # dB below the loudest; quieter nuclei do not count
SHORTEST_PAUSE = 0.2  # seconds: shorter silences are stop consonants (Goldman-Eisler 1968; Campione & Veronis 2002)


@dataclass(frozen=True)
class PaceMeasures:
    """Rates and pauses of one utterance: from the start of the first stretch of speech to the end of the last."""

    syllables: int
    utterance_seconds: float
    speech_rate: float  # syllables per second of utterance
    articulation_rate: float  # syllables per second of phonation
    pauses: tuple[float, ...]  # seconds of each


def syllable_nuclei(samples: Sound, voiced: Mask, speech: Mask) -> npt.NDArray[np.int64]:
    """Frame numbers of the nuclei in (samples,) sound. `voiced` and `speech` are (frames,) bool."""
    level = decibels(frame_power(band_pass(samples, *BAND), WINDOW))
    if level.size == 0 or not speech.any():
        return np.zeros(0, np.int64)
    threshold = np.percentile(level[speech], 99) - RANGE
    peaks = [peak for peak in _peaks(level, DIP) if level[peak] > threshold and speech[peak]]
    near = [peak for peak in peaks if voiced[max(peak - 1, 0) : peak + 2].any()]
    return np.array(near, dtype=np.int64)


def _peaks(level: Floats, dip: float) -> list[int]:
    """Frames of maxima with a fall of at least `dip` on both sides; the ends count as falls."""
    peaks: list[int] = []
    high, low = 0, 0
    rising = True
    for index in range(1, level.size):
        if rising:
            if level[index] > level[high]:
                high = index
            elif level[high] - level[index] >= dip:
                peaks.append(high)
                low, rising = index, False
        elif level[index] < level[low]:
            low = index
        elif level[index] - level[low] >= dip:
            high, rising = index, True
    if rising:
        peaks.append(high)
    return peaks


def pace_measures(spans: Sequence[Span], nuclei: FrameNumbers) -> PaceMeasures | None:
    """Rates from speech spans and nuclei; None without speech."""
    if not spans:
        return None
    gaps = [later.start - earlier.end for earlier, later in pairwise(spans)]
    pauses = tuple(gap for gap in gaps if gap >= SHORTEST_PAUSE)
    times = (nuclei * HOP + HOP / 2) / SAMPLE_RATE
    count = sum(any(span.start <= time < span.end for span in spans) for time in times)
    utterance = spans[-1].end - spans[0].start
    phonation = utterance - sum(pauses)
    return PaceMeasures(
        syllables=count,
        utterance_seconds=utterance,
        speech_rate=count / utterance,
        articulation_rate=count / phonation,
        pauses=pauses,
    )
