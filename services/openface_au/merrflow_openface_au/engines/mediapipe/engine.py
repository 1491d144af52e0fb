"""The `mediapipe` engine: meshes and blendshapes of MediaPipe's networks, read as Action Unit proxies.

Blendshapes are what an animator needs to redraw a face, not what a FACS coder sees; the rule file says for
each Action Unit how far the two agree. Nothing here is, or is called, OpenFace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from merrflow_openface_au.engines.mediapipe.action_units import FrameNumbers, action_units, features
from merrflow_openface_au.engines.mediapipe.face_detector import Detection, FaceDetector
from merrflow_openface_au.engines.mediapipe.face_mesh import STAMP, FaceMesh
from merrflow_openface_au.engines.mediapipe.face_networks import FaceNetworks, wanted_networks
from merrflow_openface_au.engines.mediapipe.face_track import FaceTrack, Models
from merrflow_openface_au.engines.mediapipe.face_tracker import FaceTracker, Picture, split_into_segments
from merrflow_openface_au.engines.mediapipe.geometry import facial_geometry, head_pose
from merrflow_openface_au.engines.mediapipe.images import in_plain_rows
from merrflow_openface_au.engines.mediapipe.model_bundle import BLENDSHAPES, DETECTOR, MESH, member, read_model_bundle
from merrflow_openface_au.engines.mediapipe.rules import Rules, load_rules
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import ActionUnitValue, FaceResult, FrameResult, Source, VideoResult
from merrflow_serving.engine import EngineInfo, Limits, Wanted, always
from merrflow_serving.errors import Abandoned, MerrflowError, NotReady, UnreadableMedia
from merrflow_serving.media.video import VideoFrame, iter_frames
from merrflow_serving.one_by_one import one_by_one
from merrflow_serving.packaged import FACE_LANDMARKER

NOTE = (
    "Action Unit proxies from MediaPipe blendshapes and face-mesh distances, scaled to FACS 0-5; "
    "not OpenFace, not FACS coding; AU04 by presence only, AU01 and AU26 where they are clear. "
    "With these units disgust cannot be reached, and surprise, fear, sad, angry, worried and doubt only seldom "
    "(docs/models.md)"
)


PROBLEM = "the video could not be measured"


@dataclass(frozen=True)
class _Loaded:
    """What `load` makes."""

    rules: Rules
    models: Models


class MediapipeEngine:
    """Faces, head pose and Action Unit proxies of whole videos. Not thread-safe."""

    stops_early = True

    def __init__(self, settings: OpenFaceAuSettings, *, decoder_threads: int = 0) -> None:
        """decoder_threads: threads that decode a video; 0: one for each core."""
        self._settings = settings
        self._decoder_threads = decoder_threads
        self._loaded: _Loaded | None = None

    def load(self) -> None:
        """Reads the rules and the model bundle. Raises `NotReady` with what to do if one is missing."""
        rules = load_rules(self._settings.mapping)
        bundle = read_model_bundle(self._settings.face_landmarker)
        try:
            import cv2

            cv2.setNumThreads(1)  # pictures this small gain nothing from threads that spin on a busy machine
            detector = FaceDetector(member(bundle, DETECTOR), rules.search)
            mesh = FaceMesh(member(bundle, MESH), member(bundle, BLENDSHAPES))
        except ImportError as error:
            raise NotReady(
                f"the face networks cannot run ({error}); run: pip install ai-edge-litert opencv-python-headless",
                reason="MODEL_MISSING",
            ) from error
        models = Models(rules.search, detector, mesh, FaceNetworks(wanted_networks(self._settings)))
        self._loaded = _Loaded(rules, models)

    def close(self) -> None:
        self._loaded = None

    def info(self) -> EngineInfo:
        """Revision: the model bundle. Prompt version: the rules, and what else decides the results."""
        networks = wanted_networks(self._settings)
        try:
            rules = self._loaded.rules if self._loaded is not None else load_rules(self._settings.mapping)
            version = f"{rules.stamp} {STAMP} max_faces={self._settings.max_faces} {networks.stamp}"
        except NotReady:  # `load` says why
            version = ""
        return EngineInfo(
            engine="mediapipe",
            model="face_landmarker",
            revision=FACE_LANDMARKER.revision,
            device="cpu",
            dtype="float16",
            prompt_version=version,
            licence="Apache-2.0 and MIT",
            note="; ".join((NOTE, *networks.problems)),
            limits=Limits(max_batch_size=1, max_pixels=self._settings.max_pixels, max_frames=self._settings.max_frames),
        )

    def run(self, batch: Sequence[Source], wanted: Wanted = always) -> list[VideoResult | MerrflowError]:
        """One result or error for each video, in order; a video's result depends on that video alone."""
        return one_by_one(batch, self._measure, wanted, problem=PROBLEM)

    def _measure(self, source: Source, is_wanted: Callable[[], bool]) -> VideoResult:
        if self._loaded is None:
            raise NotReady("the engine is not loaded")
        rules, models = self._loaded.rules, self._loaded.models
        search = rules.search
        log = _FrameLog(search.longest_side)
        frames = _while_wanted(
            iter_frames(
                source,
                max_pixels=self._settings.max_pixels,
                max_frames=self._settings.max_frames,
                threads=self._decoder_threads,
            ),
            is_wanted,
        )
        tracker = FaceTracker(
            models.detector, lambda seed: self._new_track(models, seed), search, self._settings.max_faces
        )
        for segment in split_into_segments(log.record(frames), search):
            tracker.add(segment)
        tracks = tracker.finish()
        if not log.timestamps:
            raise UnreadableMedia("the file holds no picture")
        faces: list[list[FaceResult]] = [[] for _ in log.timestamps]
        for track in tracks:
            for index, result in _results(track, partial(self._units, rules, track), log.scales):
                faces[index].append(result)
        return VideoResult(
            width=log.width,
            height=log.height,
            fps=log.fps,
            action_units=self._measured(rules),
            expression_classes=models.networks.classes,
            frames=tuple(
                FrameResult(index, timestamp, tuple(sorted(seen, key=_area, reverse=True)))
                for index, (timestamp, seen) in enumerate(zip(log.timestamps, faces, strict=True))
            ),
        )

    # What an engine that measures otherwise on the same faces replaces.

    def _new_track(self, models: Models, seed: Detection) -> FaceTrack:
        """Follows a face that was found."""
        return FaceTrack(models, seed)

    def _measured(self, rules: Rules) -> tuple[str, ...]:
        """The Action Units of every face, ascending."""
        return tuple(rules.action_units)

    def _units(
        self, rules: Rules, track: FaceTrack, indices: FrameNumbers, geometry: Sequence[Mapping[str, float]]
    ) -> list[dict[str, ActionUnitValue]]:
        """Of each frame of a face; `geometry`: for each frame, `facial_geometry`."""
        table = features(np.stack([track.samples[index].blendshapes for index in indices]), geometry)
        return action_units(rules, table, indices)


def _while_wanted(frames: Iterator[VideoFrame], is_wanted: Callable[[], bool]) -> Iterator[VideoFrame]:
    """The frames. Raises `Abandoned` once they are not wanted."""
    for frame in frames:
        if not is_wanted():
            raise Abandoned
        yield frame


def _area(face: FaceResult) -> float:
    return face.box[2] * face.box[3]


class _FrameLog:
    """Records size and times of the frames that pass through it, and shrinks large frames."""

    def __init__(self, longest_side: int) -> None:
        self._longest_side = longest_side
        self.timestamps: list[float] = []
        self.scales: list[float] = []  # of each frame: pixels of the video per measured pixel
        self.width = self.height = 0

    def record(self, frames: Iterator[VideoFrame]) -> Iterator[Picture]:
        for frame in frames:
            image = in_plain_rows(frame.view(self._longest_side))
            width, height = frame.size
            if not self.timestamps:
                self.width, self.height = width, height
            self.timestamps.append(frame.timestamp)
            self.scales.append(width / image.shape[1])
            yield Picture(frame.index, frame.timestamp, image)

    @property
    def fps(self) -> float:
        seconds = self.timestamps[-1] - self.timestamps[0]
        return (len(self.timestamps) - 1) / seconds if seconds > 0 else 0.0


def _results(
    track: FaceTrack,
    units_of: Callable[[FrameNumbers, Sequence[Mapping[str, float]]], list[dict[str, ActionUnitValue]]],
    scales: Sequence[float],
) -> Iterator[tuple[int, FaceResult]]:
    """(frame index, result) of one face.

    units_of: the Action Units for frame numbers and each frame's `facial_geometry`. scales: of each frame of the video,
    pixels of the video per measured pixel.
    """
    indices = np.array(sorted(track.samples))
    samples = [track.samples[index] for index in indices]
    geometry = [facial_geometry(sample.points, sample.matrix) for sample in samples]
    units = units_of(indices, geometry)
    for index, sample, shape, values in zip(indices, samples, geometry, units, strict=True):
        x, y, width, height = (scales[index] * value for value in sample.box)
        yield (
            int(index),
            FaceResult(
                box=(x, y, width, height),
                confidence=track.confidence_at(int(index)),
                pose=head_pose(sample.matrix),
                action_units=values,
                mouth_opening=shape["lip_gap_ratio"],
                second_pass=not track.first_pass,
                expression=sample.looks.expression,
                embedding=sample.looks.embedding,
            ),
        )
