"""Follows faces through frames as persons.

Within a shot a face is followed by its place. Where the engine measured how faces look (`Face.embedding`), that decides
which tracks of a clip are one person, through cuts and profiles. Where it did not, as in OpenFace's files, persons are
joined across cuts only if film grammar and place speak for it; a person who returns in another place counts as another.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TypeVar

from merrflow.core.datafile import Strict
from merrflow.core.measurements import ActionUnitSeries, Shot
from merrflow.stages.looks import Look, look_of, same_person
from merrflow.stages.sights import Box, Sight, sights

Item = TypeVar("Item")
Seat = tuple[Shot, Sight]  # a person's typical place in a shot


class FollowRules(Strict):
    """See subject.yaml."""

    minimum_confidence: float
    overlap: float
    reach: float
    growth: float
    gap_seconds: float
    join_overlap: float
    join_degrees: float
    return_overlap: float
    return_degrees: float
    return_unlike: float
    join_look: float


@dataclass
class Track:
    """One person's faces: (frame index, index into that frame's faces), ascending. Local to this stage."""

    faces: list[tuple[int, int]] = field(default_factory=list)
    measured: list[Sight] = field(default_factory=list)
    shots: list[Shot] = field(default_factory=list)  # in which the person is seen, ascending
    by_look: bool = False  # whether parts were joined because they look like one person
    _seat: Sight | None = None
    _look: tuple[int, Look | None] = (0, None)  # of so many faces

    def add(self, frame: int, place: int, face: Sight) -> None:
        """Takes the person's face in one more frame."""
        self.faces.append((frame, place))
        self.measured.append(face)

    def extend(self, later: Track) -> None:
        """Takes over what the person does later on."""
        self.faces += later.faces
        self.measured += later.measured
        self.shots += [shot for shot in later.shots if shot not in self.shots]
        self._seat = later._seat

    def together(self, others: Iterable[Track]) -> Track:
        """A track of this person and the others, who look like the same, in order of their frames."""
        parts = [self, *others]
        seen = sorted(
            ((at, face) for part in parts for at, face in zip(part.faces, part.measured, strict=True)),
            key=lambda pair: pair[0],
        )
        shots = sorted({shot for part in parts for shot in part.shots}, key=lambda shot: shot.start)
        return Track([at for at, _ in seen], [face for _, face in seen], shots, by_look=True)

    @property
    def seat(self) -> Sight:
        """A face in the person's median place and direction in the last of the shots; `settle` comes first."""
        assert self._seat is not None
        return self._seat

    @property
    def look(self) -> Look | None:
        """How the person looks in all faces so far; None if no embedding was measured."""
        if self._look[0] != len(self.measured):
            self._look = (len(self.measured), look_of(self.measured))
        return self._look[1]

    def settle(self) -> None:
        """The shot is over: the seat is that of the faces so far."""
        x, y, width, height = map(median, zip(*(face.box for face in self.measured), strict=True))
        pitch, yaw, roll = (fmean([getattr(face, name) for face in self.measured]) for name in ("pitch", "yaw", "roll"))
        confidence = self.measured[0].confidence
        self._seat = Sight((x, y, width, height), confidence, pitch, yaw, roll)


def follow(series: ActionUnitSeries, shots: Sequence[Shot], rules: FollowRules) -> list[Track]:
    """All tracks, in order of their first frame. `shots` may be empty: then all is one shot.

    Within a shot a face goes to the nearest track by overlap, then by distance, all pairs together at their best.
    A person is joined to an earlier one
    - if both look alike (see looks.py) and are never in view together; what follows is for tracks without a look:
    - across a cut, if the face stays where it was, turned the same way, as in a flash taken for a cut;
    - within a shot, if a face comes back to the place it was lost in;
    - over other shots (A-B-A, as in shot and counter-shot), if the face is back in its place and turned as it was,
      and no face in between was there: in a row of people who are all filmed mid-picture, the place identifies nobody.
    """
    frames = sights(series.frames, rules.minimum_confidence)
    indices = [index for index, _ in frames]
    last = indices[-1] + 1 if indices else 0
    gap = max(1, round(rules.gap_seconds * series.fps)) if series.fps > 0 else 1
    whole = (0.0, 0.0, float(series.width), float(series.height))
    persons: list[Track] = []
    earlier: list[Seat] = []
    for shot in _covering(shots, last):
        live: list[Track] = []
        for index, faces in frames[bisect_left(indices, shot.start) : bisect_left(indices, shot.end)]:
            reachable = [track for track in live if index - track.faces[-1][0] <= gap + 1]
            taken = _pair(
                [track.measured[-1].box for track in reachable],
                [face.box for _, face in faces],
                lambda before, now: _nearness(before, now, rules),
            )
            for number, (place, face) in enumerate(faces):
                track = reachable[taken[number]] if number in taken else Track(shots=[shot])
                if number not in taken:
                    live.append(track)
                track.add(index, place, face)
        live = _stitched(live, rules, whole)
        earlier += _join(persons, live, earlier, rules, whole)
    return _recognised(sorted(persons, key=lambda track: track.faces[0]), rules)


def _recognised(tracks: Sequence[Track], rules: FollowRules) -> list[Track]:
    """The tracks, with those together that look like one person; in order of their first frame."""
    groups = same_person(
        [(frozenset(frame for frame, _ in track.faces), track.look) for track in tracks], rules.join_look
    )
    return [
        tracks[group[0]].together(tracks[place] for place in group[1:]) if len(group) > 1 else tracks[group[0]]
        for group in groups
    ]


def _unlike(one: Track, other: Track, rules: FollowRules) -> bool:
    """Whether both were measured and look like two persons: then place joins them no more."""
    return one.look is not None and other.look is not None and one.look.distance(other.look) > rules.join_look


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


def _pair(old: Sequence[Item], new: Sequence[Item], similarity: Callable[[Item, Item], float | None]) -> dict[int, int]:
    """Places in `new` to places in `old`, each once, with the highest sum of `similarity`; None pairs nobody."""
    if not old or not new:
        return {}
    if len(old) == len(new) == 1:  # by far the most frames; saves the solver's overhead
        return {} if similarity(old[0], new[0]) is None else {0: 0}
    scores = [[similarity(before, now) for before in old] for now in new]
    from scipy.optimize import linear_sum_assignment

    gains = [[0.0 if score is None else 1e-6 + score for score in row] for row in scores]
    rows, columns = linear_sum_assignment(gains, maximize=True)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if scores[row][column] is not None}


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


def _stitched(live: Sequence[Track], rules: FollowRules, whole: Box) -> list[Track]:
    """Tracks of one shot, with those joined in which a face was lost for long and is back in its place."""
    persons: list[Track] = []
    for track in live:  # in order of their first frame
        gone = [person for person in persons if person.faces[-1][0] < track.faces[0][0]]
        shared = [
            0.0
            if _unlike(person, track, rules)
            else _alike(person.measured[-1], track.measured[0], rules, whole) or 0.0
            for person in gone
        ]
        if gone and max(shared) > 0:
            gone[shared.index(max(shared))].extend(track)
        else:
            persons.append(track)
    return persons


def _join(
    persons: list[Track], live: Sequence[Track], earlier: Sequence[Seat], rules: FollowRules, whole: Box
) -> list[Seat]:
    """Lets tracks of a new shot go on from persons of earlier ones; the others become persons. Returns their seats.

    earlier: the seats of the shots before.
    """
    for track in live:
        track.settle()

    def similarity(person: Track, track: Track) -> float | None:
        if _unlike(person, track, rules):
            return None
        shot, last = track.shots[0], person.shots[-1]
        if last.end == shot.start:
            follows = track.faces[0][0] == shot.start == person.faces[-1][0] + 1
            stays = follows and _unmoved(person.measured[-1], track.measured[0], rules, whole)
            return 1 + overlap(person.measured[-1].box, track.measured[0].box) if stays else None
        shared = _alike(person.seat, track.seat, rules, whole)
        if shared is None:
            return None
        between = (face.box for place, face in earlier if place.start >= last.end)
        taken = any(overlap(box, track.seat.box) >= rules.return_unlike for box in between)
        return None if taken else shared

    pairs = _pair(persons, live, similarity)
    for number, track in enumerate(live):
        if number in pairs:
            persons[pairs[number]].extend(track)
        else:
            persons.append(track)
    return [(track.shots[0], track.seat) for track in live]


def _unmoved(before: Sight, now: Sight, rules: FollowRules, whole: Box) -> bool:
    shared = overlap(before.box, now.box)
    return shared >= rules.join_overlap and _turned(before, now) <= rules.join_degrees and before.box != whole


def _alike(before: Sight, now: Sight, rules: FollowRules, whole: Box) -> float | None:
    """The overlap of two faces in the same place, turned the same way; None for others.

    A box that is the whole picture (see openface_csv) says nothing of the place.
    """
    shared = overlap(before.box, now.box)
    same = shared >= rules.return_overlap and _turned(before, now) <= rules.return_degrees and before.box != whole
    return shared if same else None


def _turned(before: Sight, now: Sight) -> float:
    return max(abs(before.pitch - now.pitch), abs(before.yaw - now.yaw), abs(before.roll - now.roll))


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
