"""The face detector: as MediaPipe's own, wherever faces are."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_openface_au.engines.mediapipe.blaze_face import BlazeFace, Found
from merrflow_openface_au.engines.mediapipe.model_bundle import DETECTOR, member, read_model_bundle
from tests.services.openface_au.drawn_face import draw_face
from tests.services.openface_au.videos import noise


@pytest.fixture(scope="module")
def network() -> BlazeFace:
    return BlazeFace(member(read_model_bundle(), DETECTOR), 0.5)


def two_faces() -> np.ndarray:
    picture = draw_face(400, 240, center=(280, 120), size=220)
    picture[:, :180] = draw_face(180, 240, center=(90, 130), size=180, roll=12)
    return picture


@pytest.mark.parametrize(
    "picture",
    [draw_face(), two_faces(), draw_face(200, 256, center=(90, 140), size=230), two_faces()[:, :180]],
    ids=["square", "wide, two faces", "high", "turned"],
)
def test_what_mediapipes_own_graph_finds(network: BlazeFace, picture: np.ndarray) -> None:
    mediapipe = pytest.importorskip("mediapipe", reason="mediapipe is not installed")
    from mediapipe.tasks.python import BaseOptions, vision

    model = BaseOptions(model_asset_buffer=member(read_model_bundle(), DETECTOR))
    height, width = picture.shape[:2]
    picture = np.ascontiguousarray(picture)
    with vision.FaceDetector.create_from_options(vision.FaceDetectorOptions(base_options=model)) as detector:
        theirs = detector.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)).detections
    ours = network.detect(picture)
    assert len(ours) == len(theirs) >= 1
    for one, other in zip(ours, theirs, strict=True):
        assert one.score == pytest.approx(other.categories[0].score, abs=0.02)
        box = other.bounding_box
        assert one.box == pytest.approx((box.origin_x, box.origin_y, box.width, box.height), abs=1.5)
        points = np.array([(p.x * width, p.y * height) for p in other.keypoints])
        assert np.abs(one.points - points).max() < 1


def test_no_face_in_a_picture_without_one(network: BlazeFace) -> None:
    for picture in (noise(), np.zeros((2, 2, 3), np.uint8), np.full((16, 640, 3), 255, np.uint8)):
        assert network.detect(picture) == []


def test_a_face_in_a_part_is_moved_into_the_whole() -> None:
    part = Found((1, 2, 3, 4), 0.9, np.array([(1.0, 2.0)]))
    whole = part.moved(2, (10, 20))
    assert whole.box == (12, 24, 6, 8) and whole.points.tolist() == [[12, 24]] and whole.score == 0.9
