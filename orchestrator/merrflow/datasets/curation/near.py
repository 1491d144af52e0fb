"""Clips of which another shows and says the same, though not in the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field
from rapidfuzz import fuzz, process

from merrflow.datasets.curation.base import Filter, Verdict
from merrflow.datasets.curation.best import rank
from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.likely_pairs import likely_pairs
from merrflow.datasets.curation.rules import Count, FilterRules
from merrflow.datasets.curation.similarity import frame_distance, sound_difference

ALONE_LENGTH = 0.95  # least ratio of lengths if there are only pictures to compare


class NearRules(FilterRules):
    frames: Annotated[float, Field(ge=0, lt=32)]  # half of 64 bits differ by chance
    sound: Annotated[float, Field(ge=0, lt=0.5)]
    text: Annotated[float, Field(ge=50, le=100)]
    text_letters: Count
    length: Annotated[float, Field(ge=0.5, le=1)]
    frames_alone: Annotated[float, Field(ge=0, lt=32)]


@dataclass(frozen=True)
class Comparison:
    """Three similarities of pairs of clips: (pairs,) each, NaN if there is nothing to compare."""

    frames: np.ndarray  # bits of 64
    sound: np.ndarray  # share of bits
    text: np.ndarray  # 0 to 100

    def in_words(self, index: int) -> str:
        """One pair's figures in words."""
        parts = [
            f"pictures differ by {self.frames[index]:.1f} of 64 bits" if self.frames[index] >= 0 else "",
            f"sound by {self.sound[index]:.0%}" if self.sound[index] >= 0 else "",
            f"subtitles are {self.text[index]:.0f} % alike" if self.text[index] >= 0 else "",
        ]
        return ", ".join(part for part in parts if part)


class NearDuplicates(Filter[NearRules]):
    """Copies by two of three similarities (pictures, sound, subtitle). Best first, a clip stays unless it is a copy of
    one that stays: so of a group of copies one is left, and of overlapping pieces of one long take more than one.

    Sound decides if there is some: shots of one camera look as alike as copies do, and speakers repeat themselves,
    but no two recordings have the same sound. Sound that differs therefore outweighs the other two.
    """

    name = "near"
    about = "another clip has the same pictures and sound in other bytes; the best of a group stays"
    rules_type = NearRules

    def judge(self, clips: Sequence[Candidate]) -> Verdict:
        drops: dict[str, str] = {}
        left = sorted(clips, key=lambda clip: rank(clip, self.shared.best))
        while len(left) > 1:
            copies, found = self._copies(left)
            before = len(drops)
            for index, (better, worse) in enumerate(copies.tolist()):  # ascending, so that `better` is settled
                if left[better].name not in drops:
                    drops.setdefault(left[worse].name, f"a copy of {left[better].name}: {found.in_words(index)}")
            if len(drops) == before:
                break
            # Of very many copies not all pairs were compared (likely_pairs.py), so those that stay are looked at again.
            left = [left[index] for index in np.unique(copies).tolist() if left[index].name not in drops]
        return Verdict(drops, sum(not len(clip.frames) and not len(clip.sound) for clip in clips))

    def _copies(self, clips: Sequence[Candidate]) -> tuple[np.ndarray, Comparison]:
        """(pairs, 2) indices, first below second, ascending, and their similarities."""
        pairs = likely_pairs(
            [clip.frames for clip in clips],
            [clip.sound for clip in clips],
            [self._text(clip) for clip in clips],
            np.array([clip.seconds for clip in clips]),
            self.rules.length,
        )
        found = self.compare(clips, pairs)
        copies = self._are_copies(clips, pairs, found)
        return pairs[copies], Comparison(found.frames[copies], found.sound[copies], found.text[copies])

    def compare(self, clips: Sequence[Candidate], pairs: np.ndarray) -> Comparison:
        """The similarities of (pairs, 2) indices of clips."""
        texts = [self._text(clip) for clip in clips]
        one, other = ([texts[index] for index in column] for column in pairs.T)
        alike = process.cpdist(one, other, scorer=fuzz.ratio, workers=1) if len(pairs) else np.zeros(0)
        known = np.array([bool(a and b) for a, b in zip(one, other, strict=True)], bool)
        return Comparison(
            frame_distance([clip.frames for clip in clips], pairs),
            sound_difference([clip.sound for clip in clips], pairs, self.rules.length),
            np.where(known, alike, np.nan),
        )

    def _are_copies(self, clips: Sequence[Candidate], pairs: np.ndarray, found: Comparison) -> np.ndarray:
        """(pairs,) bool. A comparison with NaN is false."""
        seconds = np.array([clip.seconds for clip in clips])[pairs]
        same_length = seconds.min(axis=1) >= ALONE_LENGTH * seconds.max(axis=1)
        look = found.frames <= self.rules.frames
        sound = found.sound <= self.rules.sound
        words = found.text >= self.rules.text
        no_sound, no_words = np.isnan(found.sound), np.isnan(found.text)
        alone = no_sound & no_words & same_length & (found.frames <= self.rules.frames_alone)
        copies: np.ndarray = (sound & (look | words)) | (no_sound & look & words) | alone
        return copies

    def _text(self, clip: Candidate) -> str:
        return clip.text if len(clip.text) >= max(1, self.rules.text_letters) else ""
