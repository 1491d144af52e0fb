"""Follows faces through frames as persons."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from merrflow.facs.datafile import Strict
from merrflow.types import ActionUnitSeries, Face, Shot

Box = tuple[float, float, float, float]


class FollowRules(Strict):
    """See subject.yaml."""

    minimum_confidence: float
    overlap: float
    reach: float
    growth: float
    gap_seconds: float
    join_overlap: float
    join_degrees: float


@dataclass
class Track:
    """One person's faces: (frame index, index into that frame's faces), ascending. Local to this stage."""

    faces: list[tuple[int, int]] = field(default_factory=list)
    measured: list[Face] = field(default_factory=list)
    shots: list[Shot] = field(default_factory=list)

    def add(self, frame: int, place: int, face: Face) -> None:
        """Takes the person's face in one more frame."""
        self.faces.append((frame, place))
        self.measured.append(face)


def follow(series: ActionUnitSeries, shots: Sequence[Shot], rules: FollowRules) -> list[Track]:
    """All tracks, in order of their first frame. `shots` may be empty: then all is one shot.

    Within a shot a face goes to the nearest track by overlap, then by distance. Across a cut nothing of how
    persons look is known here, so that only a face that stays where it was, turned the same way, counts as
    the same person.
    """
    ordered = sorted(series.frames, key=lambda frame: frame.index)
    last = ordered[-1].index + 1 if ordered else 0
    gap = max(1, round(rules.gap_seconds * series.fps)) if series.fps > 0 else 1
    done: list[Track] = []
    for shot in _covering(shots, last):
        live: list[Track] = []
        for frame in ordered:
            if not shot.start <= frame.index < shot.end:
                continue
            faces = [(place, face) for place, face in enumerate(frame.faces) if sure(face, rules)]
            reachable = [track for track in live if frame.index - track.faces[-1][0] <= gap + 1]
            taken = _match(reachable, faces, rules)
            for place, face in faces:
                track = taken.get(place)
                if track is None:
                    track = Track(shots=[shot])
                    live.append(track)
                track.add(frame.index, place, face)
        done = _join(done, live, shot, rules)
    return sorted(done, key=lambda track: track.faces[0])


def sure(face: Face, rules: FollowRules) -> bool:
    """Whether a detected face is sure enough to be followed, and has at least a pixel."""
    return face.confidence >= rules.minimum_confidence and min(face.box[2], face.box[3]) >= 1


def _covering(shots: Iterable[Shot], last: int) -> list[Shot]:
    """The shots, ascending, with whatever they leave uncovered as shots of its own."""
    covering: list[Shot] = []
    at = 0
    for shot in sorted(shots, key=lambda shot: shot.start):
        if shot.start > at:
            covering.append(Shot(at, shot.start))
        covering.append(shot)
        at = max(at, shot.end)
    if at < last:
        covering.append(Shot(at, last))
    return covering


def _match(tracks: Sequence[Track], faces: Sequence[tuple[int, Face]], rules: FollowRules) -> dict[int, Track]:
    """Faces' places to tracks: the best pair first, each face and each track once."""
    pairs = []
    for number, track in enumerate(tracks):
        for place, face in faces:
            nearness = _nearness(track.measured[-1].box, face.box, rules)
            if nearness is not None:
                pairs.append((-nearness, number, place))
    taken: dict[int, Track] = {}
    used: set[int] = set()
    for _, number, place in sorted(pairs):
        if number not in used and place not in taken:
            used.add(number)
            taken[place] = tracks[number]
    return taken


def _nearness(before: Box, now: Box, rules: FollowRules) -> float | None:
    """1 to 2 for boxes that overlap enough, 0 to 1 for boxes within reach, None for others."""
    ratio = size(now) / size(before)
    if not 1 / rules.growth <= ratio <= rules.growth:
        return None
    shared = overlap(before, now)
    if shared >= rules.overlap:
        return 1 + shared
    distance = math.hypot(_middle(now)[0] - _middle(before)[0], _middle(now)[1] - _middle(before)[1])
    away = distance / (rules.reach * (size(before) + size(now)) / 2)
    return 1 - away if away <= 1 else None


def _join(done: list[Track], live: list[Track], shot: Shot, rules: FollowRules) -> list[Track]:
    """Lets a track of this shot go on from one that ended on the frame before, where the face is the same."""
    for track in live:
        first = track.faces[0][0]
        match = next(
            (
                earlier
                for earlier in done
                if first == shot.start
                and earlier.faces[-1][0] == first - 1
                and _unmoved(earlier.measured[-1], track.measured[0], rules)
            ),
            None,
        )
        if match is None:
            done.append(track)
        else:
            match.faces += track.faces
            match.measured += track.measured
            match.shots += track.shots
    return done


def _unmoved(before: Face, now: Face, rules: FollowRules) -> bool:
    turned = max(abs(before.pitch - now.pitch), abs(before.yaw - now.yaw), abs(before.roll - now.roll))
    return overlap(before.box, now.box) >= rules.join_overlap and turned <= rules.join_degrees


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes (x, y, width, height), 0 to 1."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one[2] * one[3] + other[2] * other[3] - shared)


def size(box: Box) -> float:
    """A face's size in pixels: the root of its box's area."""
    return math.sqrt(box[2] * box[3])


def _middle(box: Box) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2
