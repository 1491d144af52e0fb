"""Mesh, blendshapes and the head's place: those of MediaPipe's own FaceLandmarker, and alike wherever a face is."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from merrflow_openface_au.engines.mediapipe import face_track
from merrflow_openface_au.engines.mediapipe.blaze_face import Found
from merrflow_openface_au.engines.mediapipe.engine import MediapipeEngine
from merrflow_openface_au.engines.mediapipe.face_mesh import FaceMesh, region_of_detection, region_of_points
from merrflow_openface_au.engines.mediapipe.face_track import FaceTrack, Sample
from merrflow_openface_au.engines.mediapipe.geometry import rotation
from merrflow_openface_au.engines.mediapipe.model_bundle import BLENDSHAPES, MESH, member, read_model_bundle
from merrflow_openface_au.types import VideoResult
from tests.services.openface_au.drawn_face import draw_face
from tests.services.openface_au.videos import encode

STEP = 0.04  # seconds


@pytest.fixture(scope="module")
def talking() -> list[np.ndarray]:
    return [draw_face(480, 360, center=(225 + 3 * i, 180), mouth=(i % 5) / 5, roll=6) for i in range(12)]


def followed(engine: MediapipeEngine, frames: list[np.ndarray]) -> list[Sample]:
    """The face of each frame, all of which have one."""
    assert engine._loaded is not None
    models = engine._loaded.models
    track = FaceTrack(models, models.detector.find(frames[0])[0])
    samples = [track.step(index, STEP * index, frame) for index, frame in enumerate(frames)]
    found = [sample for sample in samples if sample is not None]
    assert len(found) == len(frames)
    return found


@pytest.fixture
def landmarker() -> Iterator[object]:
    """MediaPipe's own, in the mode for videos."""
    pytest.importorskip("mediapipe", reason="mediapipe is not installed")
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_buffer=read_model_bundle()),
        running_mode=vision.RunningMode.VIDEO,
        num_faces=1,
        min_face_presence_confidence=0.2,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    with vision.FaceLandmarker.create_from_options(options) as made:
        yield made


def test_what_mediapipes_own_graph_finds(
    engine: MediapipeEngine, landmarker: object, talking: list[np.ndarray]
) -> None:
    """The first frames differ by where the detector puts the face; then both follow it alike."""
    import mediapipe

    ours = followed(engine, talking)
    for index, frame in enumerate(talking):
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=frame)
        theirs = landmarker.detect_for_video(picture, round(1000 * STEP * (index + 1)))
        if index < 4:
            continue
        points = np.array([(p.x * 480, p.y * 360, p.z * 480) for p in theirs.face_landmarks[0]])
        assert np.abs(ours[index].points - points).mean() < 0.3
        blendshapes = np.array([shape.score for shape in theirs.face_blendshapes[0]])
        assert np.abs(ours[index].blendshapes - blendshapes).max() < 0.05
        matrix = theirs.facial_transformation_matrixes[0]
        assert np.abs(rotation(ours[index].matrix) - rotation(matrix)).max() < 0.01
        assert ours[index].matrix[:3, 3] == pytest.approx(matrix[:3, 3], abs=0.3)  # centimetres


def test_a_face_is_measured_alike_wherever_it_is(engine: MediapipeEngine, talking: list[np.ndarray]) -> None:
    """The picture's size, and where in it the crop lies, change nothing but the place."""
    wide = [np.pad(frame, ((40, 60), (300, 20), (0, 0)), mode="edge") for frame in talking]
    for near, far in list(zip(followed(engine, talking), followed(engine, wide), strict=True))[4:]:
        assert np.abs(far.points - (300, 40, 0) - near.points).mean() < 1
        assert np.abs(far.blendshapes - near.blendshapes).max() < 0.1


def test_a_large_face_is_shrunk_first(engine: MediapipeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    large = [draw_face(2200, 1400, center=(1100, 700), size=1300, mouth=0.4)] * 2
    shrunk = followed(engine, large)[-1]
    monkeypatch.setattr(face_track, "CROP_PIXELS", 10_000)
    whole = followed(engine, large)[-1]
    assert np.abs(shrunk.points - whole.points).mean() < 3  # of a face of 600 pixels
    assert np.abs(shrunk.blendshapes - whole.blendshapes).max() < 0.1


def test_nothing_carries_over_from_another_face(engine: MediapipeEngine, talking: list[np.ndarray]) -> None:
    """The networks are shared by all faces and clips."""
    video = encode(talking)
    other = encode(draw_face(320, 320, center=(160, 160 + i), mouth=0.9, roll=-15) for i in range(5))
    first, _, again = engine.run([video, other, video])
    assert isinstance(first, VideoResult) and first == again


def test_what_is_no_face_has_no_presence() -> None:
    bundle = read_model_bundle()
    mesh = FaceMesh(member(bundle, MESH), member(bundle, BLENDSHAPES))
    nose = Found((100, 100, 200, 200), 0.9, np.array([(150, 160), (250, 160), (200, 200), (200, 250), (0, 0), (0, 0)]))
    region = region_of_detection(nose)
    assert (region.x, region.y, region.side, region.angle) == (200, 200, 300, 0)
    grey = np.full((400, 400, 3), 120, np.uint8)
    assert mesh.points(grey, region, None)[1] < 0.01
    face = draw_face(400, 400, center=(200, 200), size=380)
    points, presence = mesh.points(face, region, None)
    assert presence > 0.5
    dark = (face // 8).astype(np.uint8)
    brighter = np.clip(np.arange(256) * 8, 0, 255).astype(np.uint8)
    assert np.abs(mesh.points(dark, region, brighter)[0] - points).mean() < 3
    assert region_of_points(points).side == pytest.approx(1.5 * np.ptp(points[:, :2], axis=0).max(), rel=1e-5)
