"""Finds and follows the faces of a video: search every few frames and at shot cuts, follow in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from merrflow_openface_au.engines.mediapipe.face_detector import Detection, FaceDetector
from merrflow_openface_au.engines.mediapipe.face_track import FaceTrack, Sample
from merrflow_openface_au.engines.mediapipe.geometry import overlap
from merrflow_openface_au.engines.mediapipe.images import CutDetector, Image
from merrflow_openface_au.engines.mediapipe.rules import Search


@dataclass(frozen=True, eq=False)
class Picture:
    """One frame to search."""

    index: int  # from 0, in display order
    timestamp: float  # seconds from the first frame
    image: Image  # (height, width, 3) RGB


@dataclass(frozen=True, eq=False)
class Segment:
    """Consecutive frames of one shot; faces are searched in the first."""

    frames: tuple[Picture, ...]
    new_shot: bool


def split_into_segments(frames: Iterable[Picture], search: Search) -> Iterator[Segment]:
    """Splits a video at shot cuts and every `search.every_frames` frames."""
    cuts = CutDetector(search.cut_threshold, search.cut_ratio)
    held: list[Picture] = []
    new_shot = True
    for frame in frames:
        cut = cuts.is_cut(frame.image)
        if held and (cut or len(held) == search.every_frames):
            yield Segment(tuple(held), new_shot)
            held, new_shot = [], cut
        held.append(frame)
    if held:
        yield Segment(tuple(held), new_shot)


class FaceTracker:
    """The faces of one video. Feed `add` with its segments in order, then call `finish`."""

    def __init__(
        self, detector: FaceDetector, start_track: Callable[[Detection], FaceTrack], search: Search, max_faces: int
    ) -> None:
        self._detector = detector
        self._start_track = start_track
        self._search = search
        self._max_faces = max_faces
        self._live: list[FaceTrack] = []
        self._ended: list[FaceTrack] = []
        self._pending: tuple[Segment, list[Detection]] | None = None

    def add(self, segment: Segment) -> None:
        """Takes the next segment.

        A segment is processed once the next one has been searched, so that a face which appears between two searches
        is also looked for in the frames before it was found.
        """
        found = self._detector.find(segment.frames[0].image)
        if self._pending is not None:
            self._process(*self._pending, ahead=[] if segment.new_shot else found)
        self._pending = (segment, found)

    def finish(self) -> list[FaceTrack]:
        """All tracks in the order in which the faces were found; each has samples and a confirmed frame."""
        if self._pending is not None:
            self._process(*self._pending, ahead=[])
            self._pending = None
        self._end_all()
        return [face for face in self._ended if face.samples]

    def _end_all(self) -> None:
        self._ended += self._live
        self._live = []

    def _process(self, segment: Segment, found: list[Detection], *, ahead: list[Detection]) -> None:
        if segment.new_shot:  # a track would carry the old face over to whoever is there now
            self._end_all()
        for seed in (*found, *ahead):
            same = [face for face in self._live if overlap(face.box, seed.box) > 0.3]
            for face in same:
                face.found_again(seed)
            if not same and len(self._live) < self._max_faces:
                self._live.append(self._start_track(seed))
        for frame in segment.frames:
            for face in self._live:
                face.step(frame.index, frame.timestamp, frame.image)
            self._end_duplicates(frame.index)
        for face in list(self._live):
            if not self._confirm(face, segment):
                self._live.remove(face)
                self._ended.append(face)

    def _end_duplicates(self, index: int) -> None:
        """If two tracks hold the same face, the one that was started later ends."""
        for face in list(self._live):
            older = self._live[: self._live.index(face)]
            mine = face.samples.get(index)
            rivals = [other.samples[index].box for other in older if index in other.samples]
            if mine and any(overlap(rival, mine.box) > 0.5 for rival in rivals):
                face.drop_unconfirmed()
                self._live.remove(face)
                self._ended.append(face)

    def _confirm(self, face: FaceTrack, segment: Segment) -> bool:
        """Has the detector confirm the face in its last frame of the segment.

        Frames in which the detector sees no face are dropped, going backwards. False if the face has left or never
        was one.
        """
        kept = True
        for frame in reversed(segment.frames):
            sample = face.samples.get(frame.index)
            if sample is None:
                continue
            confidence = self._confidence(frame.image, sample)
            if confidence is not None:
                face.confirm(frame.index, confidence)
                return kept
            face.drop(frame.index)
            kept = False
        return False

    def _confidence(self, image: Image, sample: Sample) -> float | None:
        checked = self._detector.check(image, sample.box, sample.points)
        if checked is None:
            return None
        score, distance = checked
        if score < self._search.min_check_score or distance > self._search.max_check_distance:
            return None
        return score * float(np.exp(-((distance / self._search.distance_scale) ** 2)))
