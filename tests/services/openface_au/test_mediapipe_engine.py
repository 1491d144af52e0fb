"""The engine on videos of the drawn face: where, how turned, how open the mouth, and what is no face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from merrflow_openface_au.engines.mediapipe.engine import MediapipeEngine
from merrflow_openface_au.service import warmup_item
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import VideoResult
from merrflow_serving.errors import MerrflowError, NotReady, TooLarge, UnreadableMedia
from tests.services.openface_au.drawn_face import draw_face
from tests.services.openface_au.videos import encode, noise


@pytest.fixture(scope="module")
def talking() -> bytes:
    return encode(draw_face(480, 360, center=(200 + 2 * i, 180), mouth=(i % 10) / 10) for i in range(24))


def measured(engine: MediapipeEngine, source) -> VideoResult:
    result = engine.run([source])[0]
    assert isinstance(result, VideoResult), result
    return result


def test_an_image_is_a_video_of_one_frame(engine: MediapipeEngine) -> None:
    result = measured(engine, warmup_item())
    assert len(result.frames) == 1 and (result.width, result.height) == (320, 320)
    assert result.fps == 0.0
    (face,) = result.frames[0].faces
    assert list(face.action_units) == list(result.action_units)
    assert 0.5 < face.confidence <= 1


def test_every_frame_is_there_and_the_face_is_followed(engine: MediapipeEngine, talking: bytes) -> None:
    result = measured(engine, talking)
    assert [frame.index for frame in result.frames] == list(range(24))
    assert result.fps == pytest.approx(25, abs=0.1)
    assert np.diff([frame.timestamp for frame in result.frames]) == pytest.approx(0.04, abs=1e-3)
    assert all(len(frame.faces) == 1 for frame in result.frames)
    centers = [frame.faces[0].box[0] + frame.faces[0].box[2] / 2 for frame in result.frames]
    assert np.diff(centers).mean() == pytest.approx(2, abs=0.3)
    assert centers[0] == pytest.approx(200, abs=12)
    assert not any(frame.faces[0].second_pass for frame in result.frames)


def test_mouth_opening_follows_the_mouth(engine: MediapipeEngine, talking: bytes) -> None:
    result = measured(engine, talking)
    drawn = [(i % 10) / 10 for i in range(24)]
    got = [frame.faces[0].mouth_opening for frame in result.frames]
    assert np.corrcoef(drawn, got)[0, 1] > 0.9
    lips_part = [frame.faces[0].action_units["AU25"].intensity for frame in result.frames]
    assert np.corrcoef(got, lips_part)[0, 1] > 0.8


@pytest.mark.parametrize("roll", [-20.0, 20.0])
def test_roll_is_positive_clockwise(engine: MediapipeEngine, roll: float) -> None:
    image = draw_face(400, 400, center=(200, 200), roll=roll)
    pose = measured(engine, encode([image] * 2)).frames[0].faces[0].pose
    assert pose.roll == pytest.approx(roll, abs=6)
    assert abs(pose.yaw) < 15


def test_mirrored_picture_has_mirrored_pose(engine: MediapipeEngine) -> None:
    """Yaw and roll change their sign in a mirror; pitch does not."""
    image = draw_face(400, 400, center=(200, 200), roll=10)
    one = measured(engine, encode([image] * 2)).frames[0].faces[0].pose
    other = measured(engine, encode([np.ascontiguousarray(image[:, ::-1])] * 2)).frames[0].faces[0].pose
    assert one.roll == pytest.approx(-other.roll, abs=3)
    assert one.yaw == pytest.approx(-other.yaw, abs=5)
    assert one.pitch == pytest.approx(other.pitch, abs=5)


def test_no_face_gives_frames_without_faces(engine: MediapipeEngine) -> None:
    for picture in (noise(), np.zeros((240, 320, 3), np.uint8), np.full((240, 320, 3), 255, np.uint8)):
        result = measured(engine, encode([picture] * 12))
        assert len(result.frames) == 12
        assert all(frame.faces == () for frame in result.frames)


def test_small_face_is_found_in_the_second_pass(engine: MediapipeEngine) -> None:
    image = draw_face(1280, 720, center=(300, 250), size=110)
    frames = measured(engine, encode([image] * 3)).frames
    for frame in frames:
        (face,) = frame.faces
        x, y, width, height = face.box
        assert (x + width / 2, y + height / 2) == pytest.approx((300, 256), abs=10)
        assert 30 < width < 70
        assert face.second_pass


def test_dark_face_is_found(engine: MediapipeEngine) -> None:
    image = draw_face(480, 360, center=(240, 180), gain=0.08)
    assert all(len(frame.faces) == 1 for frame in measured(engine, encode([image] * 3)).frames)


def test_largest_face_first(engine: MediapipeEngine) -> None:
    image = draw_face(960, 400, center=(700, 200), size=300)
    image[:, :480] = draw_face(480, 400, center=(220, 200), size=200)
    for frame in measured(engine, encode([image] * 3)).frames:
        big, small = frame.faces
        assert big.box[0] > 480 > small.box[0] + small.box[2]
        assert big.box[2] > small.box[2]


def test_face_is_gone_after_a_cut(engine: MediapipeEngine) -> None:
    face, empty = draw_face(480, 360, center=(240, 180)), noise(480, 360)
    counts = [len(frame.faces) for frame in measured(engine, encode([face] * 7 + [empty] * 9 + [face] * 6)).frames]
    assert counts == [1] * 7 + [0] * 9 + [1] * 6


def test_face_that_appears_between_searches_is_found_in_its_first_frame(engine: MediapipeEngine) -> None:
    """The background stays, so that no cut calls for a search."""
    empty = np.full((360, 480, 3), (120, 130, 140), np.uint8)
    with_face = draw_face(480, 360, center=(240, 180), size=130)
    counts = [len(frame.faces) for frame in measured(engine, encode([empty] * 4 + [with_face] * 12)).frames]
    assert counts == [0] * 4 + [1] * 12


def test_bad_items_hurt_no_neighbour_and_order_does_not_matter(engine: MediapipeEngine, talking: bytes) -> None:
    other = encode(draw_face(320, 320, center=(160, 160 + i), mouth=0.8) for i in range(12))
    alone = [measured(engine, talking), measured(engine, other)]
    batch = engine.run([other, b"", b"\x00" * 999, talking, talking[: len(talking) // 3], other])
    assert batch[0] == batch[5] == alone[1]
    assert batch[3] == alone[0]
    assert isinstance(batch[1], UnreadableMedia) and isinstance(batch[2], UnreadableMedia)
    assert isinstance(batch[4], MerrflowError)


def test_limits(talking: bytes) -> None:
    engine = MediapipeEngine(OpenFaceAuSettings(max_frames=23, max_pixels=480 * 360))
    engine.load()
    try:
        frames, pixels = engine.run([talking, encode([noise(640, 480)] * 2)])
    finally:
        engine.close()
    assert isinstance(frames, TooLarge) and "23 frames" in str(frames)
    assert isinstance(pixels, TooLarge) and "640x480" in str(pixels)


def test_large_frames_are_measured_in_their_own_pixels(engine: MediapipeEngine) -> None:
    image = draw_face(2560, 1440, center=(1500, 700), size=800)
    result = measured(engine, encode([image] * 2))
    assert (result.width, result.height) == (2560, 1440)
    x, y, width, height = result.frames[0].faces[0].box
    assert (x + width / 2, y + height / 2) == pytest.approx((1500, 740), abs=60)


@pytest.mark.parametrize("size", [(2, 2), (16, 16), (640, 16), (16, 640)])
def test_odd_sizes_do_no_harm(engine: MediapipeEngine, size: tuple[int, int]) -> None:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    assert measured(engine, encode([image] * 3)).frames[2].faces == ()


def test_before_load_it_says_so() -> None:
    assert isinstance(MediapipeEngine(OpenFaceAuSettings()).run([warmup_item()])[0], NotReady)


def test_native_chatter_stays_away(engine: MediapipeEngine, talking: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    fresh = MediapipeEngine(OpenFaceAuSettings())
    fresh.load()
    fresh.run([talking])
    fresh.close()
    assert capfd.readouterr().err == ""


def test_the_warm_up_picture_is_the_drawn_face() -> None:
    packaged = cv2.imdecode(np.frombuffer(warmup_item(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(packaged.astype(int) - draw_face()).mean() < 1.0
