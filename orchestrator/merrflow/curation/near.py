"""Clips of which another shows and says the same, though not in the same bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz import fuzz, process
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from merrflow.curation.base import Filter, Verdict
from merrflow.curation.best import rank
from merrflow.curation.candidate import Candidate
from merrflow.curation.config import NearRules
from merrflow.curation.likely_pairs import likely_pairs
from merrflow.curation.witnesses import frame_distance, sound_difference

ALONE_LENGTH = 0.95  # ratio of lengths that is asked where pictures are the only witness


@dataclass(frozen=True)
class Comparison:
    """What three witnesses say of pairs of clips: (pairs,) each, NaN where a witness has nothing to compare."""

    frames: np.ndarray  # bits of 64
    sound: np.ndarray  # share of bits
    text: np.ndarray  # 0 to 100

    def told(self, index: int) -> str:
        """One pair's figures in words."""
        parts = [
            f"pictures differ by {self.frames[index]:.1f} of 64 bits" if self.frames[index] >= 0 else "",
            f"sound by {self.sound[index]:.0%}" if self.sound[index] >= 0 else "",
            f"subtitles are {self.text[index]:.0f} % alike" if self.text[index] >= 0 else "",
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True)
class NearDuplicates(Filter):
    """Copies by two of three witnesses (pictures, sound, subtitle), joined to groups of which the best one stays.

    Sound decides where there is some: shots of one camera look as alike as copies do, and speakers repeat themselves,
    but no two recordings have the same sound. Sound that differs therefore outweighs the other two.
    """

    rules: NearRules
    best: Sequence[str]
    name = "near"

    def judge(self, clips: Sequence[Candidate]) -> Verdict:
        clips = sorted(clips, key=lambda clip: clip.name)
        pairs = likely_pairs(
            [clip.frames for clip in clips],
            [clip.sound for clip in clips],
            [self._text(clip) for clip in clips],
            np.array([clip.seconds for clip in clips]),
            self.rules.length,
        )
        copies = pairs[self._are_copies(clips, pairs, self.compare(clips, pairs))]
        to_best = []
        for group in _groups(copies, len(clips)):
            first, *others = sorted(group, key=lambda index: rank(clips[index], self.best))
            to_best += [(first, other) for other in others]
        compared = self.compare(clips, np.array(to_best, np.int64).reshape(-1, 2))
        drops = {
            clips[other].name: f"a copy of {clips[first].name}: {compared.told(index)}"
            for index, (first, other) in enumerate(to_best)
        }
        return Verdict(drops, sum(not len(clip.frames) and not len(clip.sound) for clip in clips))

    def compare(self, clips: Sequence[Candidate], pairs: np.ndarray) -> Comparison:
        """The witnesses on (pairs, 2) indices of clips."""
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
        return (sound & (look | words)) | (no_sound & look & words) | alone

    def _text(self, clip: Candidate) -> str:
        return clip.text if len(clip.text) >= max(1, self.rules.text_letters) else ""


def _groups(pairs: np.ndarray, count: int) -> list[list[int]]:
    """Of `count` indices those that are joined by (pairs, 2) of them, directly or through others."""
    joined = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, group = connected_components(joined, directed=False)
    groups: dict[int, list[int]] = defaultdict(list)
    for index in np.unique(pairs).tolist():
        groups[group[index]].append(index)
    return list(groups.values())
