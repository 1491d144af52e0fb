"""Finds and follows the faces of a video: search every few frames and at cuts, follow in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from merrflow_openface_au.engines.finder import FaceFinder, Found
from merrflow_openface_au.engines.follower import Follower
from merrflow_openface_au.geometry import overlap
from merrflow_openface_au.mapping import Search
from merrflow_openface_au.picture import CutDetector


@dataclass(frozen=True, eq=False)
class Picture:
    """One frame to search."""

    index: int  # from 0, in order of display
    timestamp: float  # seconds from the first frame
    image: np.ndarray  # (height, width, 3) uint8 RGB


@dataclass(frozen=True, eq=False)
class Stretch:
    """Some frames in a row of one shot; faces are searched in the first."""

    frames: tuple[Picture, ...]
    new_shot: bool


def stretches(frames: Iterable[Picture], search: Search) -> Iterator[Stretch]:
    """Cuts a video at shot boundaries and every `search.every_frames` frames."""
    cuts = CutDetector(search.cut_threshold, search.cut_ratio)
    held: list[Picture] = []
    new_shot = True
    for frame in frames:
        cut = cuts.is_cut(frame.image)
        if held and (cut or len(held) == search.every_frames):
            yield Stretch(tuple(held), new_shot)
            held, new_shot = [], cut
        held.append(frame)
    if held:
        yield Stretch(tuple(held), new_shot)


def pictures_held(search: Search) -> int:
    """How many pictures are in use at once: the stretch worked on, the one searched ahead, and the frame after it."""
    return 2 * search.every_frames + 1


class FaceTracker:
    """The faces of one video. Feed `add` with its stretches in order, then read `finish`."""

    def __init__(self, finder: FaceFinder, follow: Callable[[Found], Follower], search: Search, max_faces: int) -> None:
        self._finder = finder
        self._follow = follow
        self._search = search
        self._max_faces = max_faces
        self._live: list[Follower] = []
        self._ended: list[Follower] = []
        self._waiting: tuple[Stretch, list[Found]] | None = None

    def add(self, stretch: Stretch) -> None:
        """Takes the next stretch.

        It is worked on when the one after it has been searched, so that a face which comes into view between
        two searches is looked for in the frames before it was found.
        """
        found = self._finder.find(stretch.frames[0].image)
        if self._waiting is not None:
            self._work(*self._waiting, ahead=[] if stretch.new_shot else found)
        self._waiting = (stretch, found)

    def finish(self) -> list[Follower]:
        """All faces followed, in the order in which they were found; each has samples and checks."""
        if self._waiting is not None:
            self._work(*self._waiting, ahead=[])
            self._waiting = None
        self._end_all()
        return [face for face in self._ended if face.samples]

    def close(self) -> None:
        """Frees every landmarker, also after an error."""
        self._end_all()

    def _end_all(self) -> None:
        for face in self._live:
            self._end(face)
        self._live = []

    def _end(self, face: Follower) -> None:
        face.close()
        self._ended.append(face)

    def _work(self, stretch: Stretch, found: list[Found], *, ahead: list[Found]) -> None:
        if stretch.new_shot:  # a tracker would carry the old face over to whoever stands there now
            self._end_all()
        for seed in (*found, *ahead):
            same = [face for face in self._live if overlap(face.box, seed.box) > 0.3]
            for face in same:
                face.first_pass |= seed.first_pass
            if not same and len(self._live) < self._max_faces:
                self._live.append(self._follow(seed))
        for frame in stretch.frames:
            for face in self._live:
                face.step(frame.index, frame.timestamp, frame.image)
            self._drop_doubles(frame.index)
        for face in list(self._live):
            if not self._confirm(face, stretch):
                self._live.remove(face)
                self._end(face)

    def _drop_doubles(self, index: int) -> None:
        """Where two followers hold the same face, the one that was found later gives it up."""
        for face in list(self._live):
            older = self._live[: self._live.index(face)]
            mine = face.samples.get(index)
            rivals = [other.samples[index].box for other in older if index in other.samples]
            if mine and any(overlap(rival, mine.box) > 0.5 for rival in rivals):
                confirmed = max(face.checks, default=-1)
                for later in [i for i in face.samples if i > confirmed]:
                    del face.samples[later]
                self._live.remove(face)
                self._end(face)

    def _confirm(self, face: Follower, stretch: Stretch) -> bool:
        """Has the detector confirm the face in its last frame of the stretch.

        Frames of which it says "no face" are dropped, going backwards. False where the face has left or never
        was one.
        """
        kept = True
        for frame in reversed(stretch.frames):
            sample = face.samples.get(frame.index)
            if sample is None:
                continue
            confidence = self._confidence(frame.image, sample.box, sample.points)
            if confidence is not None:
                face.checks[frame.index] = confidence
                return kept
            del face.samples[frame.index]
            kept = False
        return False

    def _confidence(self, image: np.ndarray, box: tuple[float, float, float, float], mesh: np.ndarray) -> float | None:
        checked = self._finder.check(image, box, mesh)
        if checked is None:
            return None
        score, distance = checked
        if score < self._search.min_check_score or distance > self._search.max_check_distance:
            return None
        return score * float(np.exp(-((distance / self._search.distance_scale) ** 2)))


def confidence_at(face: Follower, index: int) -> float:
    """Confidence of a followed face in a frame: between two checks, in proportion to the time to each."""
    return float(np.interp(index, sorted(face.checks), [face.checks[i] for i in sorted(face.checks)]))
