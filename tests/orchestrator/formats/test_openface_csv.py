"""Reading OpenFace's CSVs: all its dialects give the same faces, and what is wrong is named by line and value."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merrflow.formats import openface_csv
from merrflow.formats.openface_csv import OpenFaceError, degrees, read_openface, version_of
from merrflow_serving.errors import InvalidInput
from tests.orchestrator.formats.openface_csv import SHARED, landmarks, probe_of, row, shared_series, table

here_only = pytest.mark.skipif(not (SHARED / "openface").is_dir(), reason="no OpenFace outputs in ../shared/openface")


@pytest.fixture
def read(tmp_path: Path):
    """Reads a text as if it were the file of a clip with that many frames."""

    def reading(text: str | bytes, frames: int = 3):
        path = tmp_path / "clip.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_openface(path, probe=probe_of(frames)).series

    return reading


def rows(count: int = 3, **values: object) -> list[dict[str, str]]:
    return [row(frame, **values) for frame in range(1, count + 1)]


def test_a_file_of_openface_1(read) -> None:
    made = read(table([row(1), row(2, success=0, confidence=0.02), row(3, AU12_r="3.25", AU12_c="0")]))
    assert (made.width, made.height, made.fps) == (640, 360, 25.0)
    assert made.measurable == ("AU01", "AU05", "AU06", "AU12", "AU25", "AU26", "AU28", "AU45")
    assert [(frame.index, frame.timestamp, len(frame.faces)) for frame in made.frames] == [
        (0, 0.0, 1),
        (1, 0.04, 0),
        (2, 0.08, 1),
    ]
    face = made.frames[2].faces[0]
    assert face.box == pytest.approx((270, 140, 100, 75))
    assert face.confidence == 0.95
    assert face.intensity["AU12"] == 3.25 and "AU12" not in face.present
    assert "AU28" in face.present and "AU28" not in face.intensity
    assert face.mouth_opening == 0.25  # a gap of 10 pixels in a mouth of 40


def test_all_dialects_give_the_same(read) -> None:
    first = read(table(rows()))
    assert read(table(rows(), blank="")) == first
    assert read(table(rows(), blank="   ")) == first
    assert read("\ufeff" + table(rows()).replace("\n", "\r\n")) == first
    assert read(table(rows(face_id=0))) == first
    assert read(table([row(1, frame=frame) for frame in range(3)])) == first  # counted from 0
    assert read(table(rows()).rstrip("\n")) == first  # saved by an editor
    assert read(table(rows()) + "\n\n") == first
    assert read(table(rows(gaze_0_x="-nan(ind)", note="as_it_was"))) == first  # nothing that is read


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(
    order=st.randoms(use_true_random=False),
    blank=st.sampled_from(["", " ", "\t", "  "]),
    dropped=st.sets(st.sampled_from(["timestamp", "gaze_0_x", "AU01_r", "AU01_c", "AU28_c", "AU12_r", "AU12_c"])),
    from_zero=st.booleans(),
    lines=st.permutations(range(3)),
)
def test_order_spacing_and_missing_columns_change_nothing_else(read, order, blank, dropped, from_zero, lines) -> None:
    made = [row(frame + 1, frame=frame + (not from_zero), AU12_r=f"{frame}.5") for frame in range(3)]
    columns = [name for name in made[0] if name not in dropped]
    order.shuffle(columns)
    found = read(table([made[place] for place in lines], blank, columns))
    units = {name[:4] for name in columns if name.startswith("AU")}
    assert found.measurable == tuple(sorted(units))
    for index, frame in enumerate(found.frames):
        face = frame.faces[0]
        assert set(face.intensity) == {name[:4] for name in columns if name.endswith("_r")}
        if "AU12_r" in columns:
            assert face.intensity["AU12"] == index + 0.5
            assert ("AU12" in face.present) == ("AU12_c" in columns or index + 0.5 >= 1)
        assert ("AU01" in face.present) == ("AU01_c" in columns)  # its intensity is 0.5, below a trace
        assert face.box == pytest.approx((270, 140, 100, 75))


def test_intensity_alone_or_presence_alone(read) -> None:
    made = [row(1, AU12_r="0.99"), row(2, AU12_r="1.00"), row(3, AU12_r="4")]
    columns = ["frame", "confidence", "success", "AU12_r"]
    assert ["AU12" in frame.faces[0].present for frame in read(table(made, columns=columns)).frames] == [
        False,
        True,
        True,
    ]
    made = [row(number, AU12_c=number % 2) for number in (1, 2, 3)]
    told = read(table(made, columns=["frame", "confidence", "success", "AU12_c"]))
    assert [frame.faces[0].present for frame in told.frames] == [{"AU12"}, frozenset(), {"AU12"}]
    assert all(not frame.faces[0].intensity for frame in told.frames)


def test_several_faces_come_largest_first_and_may_have_frames_without_rows(read) -> None:
    small, large = landmarks(100, 100, 50), landmarks(400, 200, 150)
    made = [
        row(2, face_id=0, **small),
        row(2, face_id=3, **large),
        row(4, face_id=3, **large),
    ]
    found = read(table(made), frames=6)
    assert [len(frame.faces) for frame in found.frames] == [0, 2, 0, 1, 0, 0]
    assert [round(face.box[2]) for face in found.frames[1].faces] == [150, 50]


def test_without_landmarks_the_box_comes_from_the_pose_or_is_the_whole_picture(read) -> None:
    def without(*starts: str) -> str:
        return table(rows(), columns=[name for name in row(1) if not name.startswith(starts)])

    posed = read(without("x_", "y_")).frames[0].faces[0]
    # OpenFace's focal length for 640 x 360 is (500 + 375) / 2; 140 mm at 600 mm, 10 mm right and 5 mm up
    side = 140 * 437.5 / 600
    assert posed.box == pytest.approx((320 + 7.2917 - side / 2, 180 - 3.6458 - side / 2, side, side), abs=0.01)
    assert posed.mouth_opening is None
    bare = read(without("x_", "y_", "pose_"))
    assert bare.frames[0].faces[0].box == (0, 0, 640, 360)
    several = [row(1, face_id=number) for number in range(2)]
    with pytest.raises(OpenFaceError, match="neither x_0 ... y_67 nor pose_Tx"):
        read(table(several, columns=["frame", "face_id", "confidence", "success", "AU12_r"]))


@given(*[st.floats(-1.2, 1.2)] * 3)
def test_pose_is_the_same_rotation_in_other_axes(rx, ry, rz) -> None:
    """OpenFace's matrix with y and z turned round is R = Ry(yaw) Rx(-pitch) Rz(-roll)."""

    def turn(axis: int, angle: float) -> np.ndarray:
        one, other = [number for number in range(3) if number != axis]
        sign = -1 if axis == 1 else 1
        matrix = np.eye(3)
        matrix[one, one] = matrix[other, other] = math.cos(angle)
        matrix[one, other], matrix[other, one] = -sign * math.sin(angle), sign * math.sin(angle)
        return matrix

    flip = np.diag([1, -1, -1])
    theirs = flip @ turn(0, rx) @ turn(1, ry) @ turn(2, rz) @ flip
    pitch, yaw, roll = np.radians(degrees(rx, ry, rz))
    np.testing.assert_allclose(turn(1, yaw) @ turn(0, -pitch) @ turn(2, -roll), theirs, atol=1e-9)


def test_signs_of_the_pose() -> None:
    """OpenFace: chin up is a negative Rx; a face turned to the picture's left a positive Ry (its wiki and issues)."""
    assert degrees(-0.1, 0, 0) == pytest.approx((math.degrees(0.1), 0, 0))
    assert degrees(0, 0.1, 0) == pytest.approx((0, -math.degrees(0.1), 0))
    assert degrees(0, 0, 0.1) == pytest.approx((0, 0, math.degrees(0.1)))


FAULTS = [
    ("", "the file is empty"),
    ("\n", "the file is empty"),
    (table(rows(), columns=["frame", "confidence", "success", "x_0"]), "line 1: no Action Unit columns"),
    (table(rows(), columns=["confidence", "success", "AU12_r"]), "line 1: no column frame"),
    (table(rows(), columns=["frame", "confidence", "AU12_r"]), "line 1: no column success"),
    (table(rows(face=0), columns=["face", "confidence", "AU12_r"]), "FaceLandmarkImg's files are for single pictures"),
    (table(rows()).replace(",", ";"), "its columns are not separated by commas"),
    (table(rows(AU98_r="1")), "line 1, column AU98_r: unknown Action Unit 'AU98'; known are AU01 "),
    (table(rows(AU12="1")), "line 1, column AU12: unknown Action Unit 'AU12'"),
    (table(rows(AU14_R="1")), "line 1, column AU14_R: unknown Action Unit 'AU14'"),
    (table(rows(AU14_intensity="1")), "line 1, column AU14_intensity: unknown Action Unit 'AU14'"),
    (table(rows(au98_r="1")), "line 1, column au98_r: unknown Action Unit 'AU98'"),
    (table(rows(AU1_r="1")), "line 1: columns AU01_r and AU1_r are the same"),
    (table(rows()).replace("gaze_0_x", "AU12_r"), "line 1: column AU12_r occurs twice"),
    (table(rows())[: table(rows()).index("\n") + 1], "no rows below the column names"),
    (table([row(1), row(2, AU06_r="high"), row(3)]), "line 3, column AU06_r: 'high' is not a number"),
    (table([row(1, x_7="1_0"), row(2), row(3)]), "line 2, column x_7: '1_0' is not a number"),
    (table([row(1, AU06_r="5.2"), row(2), row(3)]), "line 2, column AU06_r: '5.2' is not between 0 and 5"),
    (table([row(1, AU06_c="0.5"), row(2), row(3)]), "line 2, column AU06_c: '0.5' is neither 0 nor 1"),
    (table([row(1, success=2), row(2), row(3)]), "line 2, column success: '2' is neither 0 nor 1"),
    (table([row(1, confidence=95), row(2), row(3)]), "line 2, column confidence: '95' is not between 0 and 1"),
    (table([row(1, frame="1.5"), row(2), row(3)]), "line 2, column frame: '1.5' is not a whole number"),
    (table([row(1), row(1), row(3)]), "line 3, column frame: 1 is already in line 2"),
    (
        table([row(1, face_id=0), row(1, face_id=4), row(1, face_id=4)]),
        "line 4, column frame: 1 and face 4 is already in line 3",
    ),
    (table([row(1), row(4)]), "line 3, column frame: 4 comes after 1; the rows between are missing"),
    (table([row(3)]), "line 2, column frame: begins with 3; the rows before are missing"),
    (table([row(1, AU06_r="nan"), row(2), row(3, x_7="inf")]), "2 of 3 rows are damaged: line 2, column AU06_r: 'nan'"),
    (
        table([row(1), row(2), row(3)])[:-90] + "\n" + table([row(3)]).split("\n")[1],
        "line 5, column frame: 3 is already",
    ),
    (table(rows(5)), "rows for 5 frames, but the clip has 3"),
    (table(rows(1)), "rows for 1 frames, but the clip has 3"),
    (table(rows()).replace("0.95", "0.\x0095", 1), "line 2: contains NUL bytes"),
    (table(rows()).encode("utf-16"), "not a text in UTF-8"),
    (table(rows()) + "1," * 100_000, "line 5: longer than any row of OpenFace"),
]


@pytest.mark.parametrize(("text", "message"), FAULTS, ids=[message[:50] for _, message in FAULTS])
def test_what_is_wrong_is_said(read, text, message) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(text)
    assert message in str(caught.value)
    assert "clip.csv" in str(caught.value) and "\n" not in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(st.data())
def test_a_file_that_was_cut_or_broken_is_refused_or_whole(read, data) -> None:
    """A cut anywhere in the bytes, or any bytes put in, end in an OpenFaceError or in plausible faces."""
    whole = table(rows(5)).encode()
    at = data.draw(st.integers(0, len(whole)))
    put = data.draw(st.binary(max_size=8))
    broken = whole[:at] + put + (whole[at:] if data.draw(st.booleans()) else b"")
    try:
        found = read(broken, frames=5)
    except OpenFaceError:
        return
    assert len(found.frames) == 5
    for frame in found.frames:
        for face in frame.faces:
            assert 0 <= face.confidence <= 1 and all(0 <= value <= 5 for value in face.intensity.values())
            assert all(map(math.isfinite, (*face.box, face.pitch, face.yaw, face.roll)))


def test_one_frame_more_or_less_is_another_decoder(read) -> None:
    """What goes beyond the clip is dropped, for no peak can be read there; what is missing has no face."""
    assert len(read(table(rows(4)), frames=3).frames) == 3
    assert [len(frame.faces) for frame in read(table(rows(2)), frames=3).frames] == [1, 1, 0]


def test_rows_of_lost_faces_may_hold_anything(read) -> None:
    lost = dict.fromkeys([*landmarks(), "AU12_r", "pose_Rx"], "-nan(ind)")
    assert read(table([row(1), row(2, success=0, confidence=0, **lost), row(3)])).frames[1].faces == ()


def test_a_file_far_too_large_is_not_read(tmp_path, monkeypatch) -> None:
    path = tmp_path / "clip.csv"
    with path.open("wb") as file:
        file.truncate(10_000_000_000)  # a hole, which takes no room on the disk
    started = time.monotonic()
    with pytest.raises(OpenFaceError, match="10000 MB, too large for a clip of 3 frames"):
        read_openface(path, probe=probe_of(3))
    assert time.monotonic() - started < 1
    with pytest.raises(OpenFaceError, match="No such file"):
        read_openface(tmp_path / "none.csv", probe=probe_of(3))
    with pytest.raises(OpenFaceError, match="no such file"):
        read_openface(tmp_path, probe=probe_of(3))


def test_a_name_that_is_no_text_makes_an_error_that_is(tmp_path) -> None:
    path = tmp_path / "caf\udce9.csv"
    path.write_text("frame")
    with pytest.raises(OpenFaceError) as caught:
        read_openface(path, probe=probe_of(3))
    str(caught.value).encode()


def test_the_version_is_told_by_the_columns(tmp_path) -> None:
    assert version_of(list(row(1))) == "1"
    assert version_of(["frame", " face_id", " timestamp"]) == "2"
    (tmp_path / "a.csv").write_text(table(rows(face_id=0)))
    assert version_of(openface_csv.read_header(tmp_path / "a.csv")) == "2"


def test_speed(tmp_path) -> None:
    """300 rows of 714 columns, as OpenFace 2 writes: some tens of milliseconds, with room for a busy machine."""
    extra = {f"eye_lmk_x_{number}": "123.456" for number in range(714 - len(row(1, face_id=0)))}
    path = tmp_path / "clip.csv"
    path.write_text(table(rows(300, face_id=0, **extra), blank=""))
    best = math.inf
    for _ in range(3):
        started = time.process_time()
        read_openface(path, probe=probe_of(300))
        best = min(best, time.process_time() - started)
    assert best < 0.4


@here_only
def test_the_shared_files() -> None:
    made = shared_series("samplenew_00051251", 1920, 1080, 24.997)
    assert len(made.frames) == 52 and all(len(frame.faces) == 1 for frame in made.frames)
    assert "AU28" in made.measurable
    before, after = made.frames[38].faces[0], made.frames[39].faces[0]
    assert before.yaw < -15 and after.yaw > 15  # two who face each other over the cut
    assert all(not frame.faces for frame in shared_series("sample_00004671", 1280, 720).frames)
