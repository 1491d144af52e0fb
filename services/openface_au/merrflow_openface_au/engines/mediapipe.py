"""The `mediapipe` engine: FaceLandmarker meshes and blendshapes, read as Action Unit proxies.

Blendshapes are what an animator needs to redraw a face, not what a FACS coder sees; the rule file says for
each Action Unit how far the two agree. Nothing here is, or is called, OpenFace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from merrflow_openface_au.engines.follower import Follower
from merrflow_openface_au.engines.ring import PictureRing
from merrflow_openface_au.engines.shot import FaceTracker, Picture, confidence_at, pictures_held, stretches
from merrflow_openface_au.engines.task_file import detector_model, read_task_file
from merrflow_openface_au.geometry import facial_geometry, head_pose
from merrflow_openface_au.mapping import Rules, load_rules
from merrflow_openface_au.measure import action_units, features
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import FaceResult, FrameResult, Source, VideoResult
from merrflow_serving.engine import EngineInfo, Limits
from merrflow_serving.errors import EngineFault, MerrflowError, NotReady, UnreadableMedia
from merrflow_serving.media.video import VideoFrame, iter_frames
from merrflow_serving.packaged import FACE_LANDMARKER

NOTE = (
    "Action Unit proxies from MediaPipe blendshapes and face-mesh distances, scaled to FACS 0-5; "
    "not OpenFace, not FACS coding"
)


def answered(measure: Callable[[Source], VideoResult | MerrflowError], source: Source) -> VideoResult | MerrflowError:
    """What `measure` returns or raises: one video's trouble must not reach its neighbours."""
    try:
        return measure(source)
    except MerrflowError as error:
        return error
    except Exception as error:
        fault = EngineFault(f"the video could not be measured: {type(error).__name__}: {error}")
        fault.__cause__ = error
        return fault


class MediapipeEngine:
    """Faces, head pose and Action Unit proxies of whole videos. One thread calls it."""

    def __init__(self, settings: OpenFaceAuSettings, *, decoder_threads: int = 0) -> None:
        """decoder_threads: of a video; 0: one for each core."""
        self._settings = settings
        self._decoder_threads = decoder_threads
        self._rules: Rules | None = None
        self._bundle: bytes | None = None
        self._finder = None
        self._ring: PictureRing | None = None

    def load(self) -> None:
        """Reads the rules and the model bundle. Raises `NotReady` with what to do where one is missing."""
        self._rules = load_rules(self._settings.mapping)
        self._bundle = read_task_file(self._settings.face_landmarker)
        self._ring = PictureRing(pictures_held(self._rules.search))
        try:
            import cv2

            from merrflow_openface_au.engines.finder import FaceFinder

            cv2.setNumThreads(1)  # pictures this small gain nothing from threads that spin on a busy machine
            self._finder = FaceFinder(detector_model(self._bundle), self._rules.search)
        except ImportError as error:
            raise NotReady(
                f"mediapipe cannot be imported ({error}); run: pip install mediapipe", reason="MODEL_MISSING"
            ) from error

    def close(self) -> None:
        """Frees the networks."""
        if self._finder is not None:
            self._finder.close()
            self._finder = None

    def info(self) -> EngineInfo:
        """Revision: the model bundle. Prompt version: the rules, and what else decides the results."""
        try:
            rules = self._rules or load_rules(self._settings.mapping)
            version = f"{rules.stamp} max_faces={self._settings.max_faces}"
        except NotReady:  # `load` tells why
            version = ""
        return EngineInfo(
            engine="mediapipe",
            model="face_landmarker",
            revision=FACE_LANDMARKER.revision,
            device="cpu",
            dtype="float16",
            prompt_version=version,
            licence="Apache-2.0",
            note=NOTE,
            limits=Limits(max_batch_size=1, max_pixels=self._settings.max_pixels, max_frames=self._settings.max_frames),
        )

    def run(self, batch: Sequence[Source]) -> list[VideoResult | MerrflowError]:
        """One result or error for each video, in order; a video's result depends on that video alone."""
        return [answered(self._measure, source) for source in batch]

    def _measure(self, source: Source) -> VideoResult:
        if self._rules is None or self._bundle is None or self._finder is None:
            raise NotReady("the engine is not loaded")
        search = self._rules.search
        clock = _Clock(search.longest_side, self._ring)
        frames = iter_frames(
            source,
            max_pixels=self._settings.max_pixels,
            max_frames=self._settings.max_frames,
            threads=self._decoder_threads,
        )
        tracker = FaceTracker(
            self._finder,
            lambda seed: Follower(self._bundle, seed, search),
            search,
            self._settings.max_faces,
        )
        try:
            for stretch in stretches(clock.watch(frames), search):
                tracker.add(stretch)
            followed = tracker.finish()
        finally:
            tracker.close()
        if not clock.timestamps:
            raise UnreadableMedia("the file holds no picture")
        faces: list[list[FaceResult]] = [[] for _ in clock.timestamps]
        for face in followed:
            for index, result in _results(face, self._rules, clock.scales):
                faces[index].append(result)
        return VideoResult(
            width=clock.width,
            height=clock.height,
            fps=clock.fps,
            action_units=tuple(self._rules.action_units),
            frames=tuple(
                FrameResult(index, timestamp, tuple(sorted(seen, key=_area, reverse=True)))
                for index, (timestamp, seen) in enumerate(zip(clock.timestamps, faces, strict=True))
            ),
        )


def _area(face: FaceResult) -> float:
    return face.box[2] * face.box[3]


class _Clock:
    """Notes size and times of the frames that pass, and makes large frames smaller.

    Its pictures live in `ring`: they are good for as long as the stretches need them, and no longer.
    """

    def __init__(self, longest_side: int, ring: PictureRing) -> None:
        self._longest_side = longest_side
        self._ring = ring
        self.timestamps: list[float] = []
        self.scales: list[float] = []  # from measured pixels to the video's own, for each frame
        self.width = self.height = 0

    def watch(self, frames: Iterator[VideoFrame]) -> Iterator[Picture]:
        for frame in frames:
            image = self._ring.keep(frame.view(self._longest_side))
            width, height = frame.raw.width, frame.raw.height
            if (width > height) != (image.shape[1] > image.shape[0]):  # turned by its rotation flag
                width, height = height, width
            if not self.timestamps:
                self.width, self.height = width, height
            self.timestamps.append(frame.timestamp)
            self.scales.append(width / image.shape[1])
            yield Picture(frame.index, frame.timestamp, image)

    @property
    def fps(self) -> float:
        seconds = self.timestamps[-1] - self.timestamps[0]
        return (len(self.timestamps) - 1) / seconds if seconds > 0 else 0.0


def _results(face: Follower, rules: Rules, scales: Sequence[float]) -> Iterator[tuple[int, FaceResult]]:
    """(frame index, result) of one followed face.

    scales: for each frame of the video, from measured pixels to its own.
    """
    import numpy as np

    indices = np.array(sorted(face.samples))
    samples = [face.samples[index] for index in indices]
    geometry = [facial_geometry(sample.points, sample.matrix) for sample in samples]
    table = features(np.stack([sample.blendshapes for sample in samples]), geometry)
    units = action_units(rules, table, indices)
    for index, sample, shape, values in zip(indices, samples, geometry, units, strict=True):
        x, y, width, height = (scales[index] * value for value in sample.box)
        yield (
            int(index),
            FaceResult(
                box=(x, y, width, height),
                confidence=confidence_at(face, int(index)),
                pose=head_pose(sample.matrix),
                action_units=values,
                mouth_opening=shape["lip_gap_ratio"],
                second_pass=not face.first_pass,
            ),
        )
