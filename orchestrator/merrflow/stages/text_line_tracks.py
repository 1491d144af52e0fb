"""Follows a line of text from sample to sample, so that each subtitle counts once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rapidfuzz import fuzz

from merrflow_serving.media.ocr import Box


@dataclass(frozen=True)
class Sighting:
    """One reading of a line in one sample. The box is in shares of the frame."""

    sample: int  # the sample's number
    timestamp: float  # seconds
    text: str
    confidence: float
    box: Box


@dataclass
class Track:
    """The same line in several samples, in order of time."""

    sightings: list[Sighting] = field(default_factory=list)

    @property
    def start(self) -> float:
        """Seconds at which the line was first seen."""
        return self.sightings[0].timestamp

    @property
    def end(self) -> float:
        """Seconds at which the line was last seen."""
        return self.sightings[-1].timestamp

    @property
    def middle(self) -> float:
        """Height in the frame, 0 (top) to 1."""
        boxes = [one.box for one in self.sightings]
        return sum(box[1] + box[3] / 2 for box in boxes) / len(boxes)

    def overlaps(self, other: Track) -> bool:
        """Whether both lines are in the picture in one and the same sample."""
        return bool({one.sample for one in self.sightings} & {one.sample for one in other.sightings})


def make_tracks(samples: Sequence[Sequence[Sighting]], rule: Mapping[str, float]) -> list[Track]:
    """Groups sightings, sample by sample, into lines; `rule` is `same_line` of burned_in.yaml."""
    tracks: list[Track] = []
    for index, sightings in enumerate(samples):
        for sighting in sightings:
            best, best_score = None, 0.0
            for track in tracks:
                last = track.sightings[-1]
                if last.sample < index <= last.sample + 1 + rule["missed_samples"]:
                    score = max(similarity(sighting, one, rule) for one in track.sightings)
                    if score > best_score:
                        best, best_score = track, score
            if best is None:
                best = Track()
                tracks.append(best)
            best.sightings.append(sighting)
    return tracks


def similarity(a: Sighting, b: Sighting, rule: Mapping[str, float]) -> float:
    """0 if two readings are of different lines, otherwise how alike they are, up to 100."""
    height = min(a.box[3], b.box[3])
    if abs(a.box[1] + a.box[3] / 2 - b.box[1] - b.box[3] / 2) > 0.6 * height:
        return 0.0
    alike = fuzz.ratio(a.text, b.text)
    sure = min(a.confidence, b.confidence) >= rule["sure"]
    if alike >= rule["similar_sure" if sure else "similar"]:
        return alike
    left, right = max(a.box[0], b.box[0]), min(a.box[0] + a.box[2], b.box[0] + b.box[2])
    outer = max(a.box[0] + a.box[2], b.box[0] + b.box[2]) - min(a.box[0], b.box[0])
    if not sure and right - left > 0.9 * outer and alike >= rule["similar_in_place"]:
        return alike
    inside = right - left > 0.9 * min(a.box[2], b.box[2])
    if inside and min(len(a.text), len(b.text)) >= 3 and fuzz.partial_ratio(a.text, b.text) >= rule["part"]:
        return alike
    return 0.0


def scrolls(track: Track, shift: float) -> bool:
    """True if both ends of the line move the same way between samples, by `shift` of the frame's width."""
    moves = 0
    for before, after in zip(track.sightings, track.sightings[1:], strict=False):
        left = after.box[0] - before.box[0]
        right = after.box[0] + after.box[2] - before.box[0] - before.box[2]
        moves += min(abs(left), abs(right)) > shift and left * right > 0
    return moves > 0 and 2 * moves >= len(track.sightings) - 1


def in_order(tracks: Sequence[Track]) -> list[Track]:
    """By time; lines that are shown together and began within a sample of each other from top to bottom."""
    ordered: list[Track] = []
    group: list[Track] = []
    for track in sorted(tracks, key=lambda track: track.start):
        together = group and track.overlaps(group[0])
        if together and track.sightings[0].sample - group[0].sightings[0].sample <= 1:
            group.append(track)
            continue
        ordered += sorted(group, key=lambda one: one.middle)
        group = [track]
    return ordered + sorted(group, key=lambda one: one.middle)
