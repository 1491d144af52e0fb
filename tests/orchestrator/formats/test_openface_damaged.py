"""OpenFace CSVs with damaged or missing rows: what can be repaired is, and is told; the clip's own times are kept."""

from __future__ import annotations

import re

import pytest

from merrflow.formats.openface_csv import OpenFaceError, read_openface
from merrflow_serving.media.openface_csv import read_faces
from tests.orchestrator.formats.openface_csv import SHARED, probe_of, row, table


def rows(count: int = 3) -> list[dict[str, str]]:
    return [row(frame) for frame in range(1, count + 1)]


@pytest.mark.parametrize("text", ["nan", "-nan", "-nan(ind)", "inf", "-Inf", "", " ", "1.#QNAN", "-1.#IND00", "1.#INF"])
@pytest.mark.parametrize("column", ["AU06_r", "AU06_c", "x_7", "pose_Rx", "confidence", "success"])
def test_a_row_with_no_number_is_a_frame_without_a_face_and_told(tmp_path, column, text) -> None:
    path = tmp_path / "clip.csv"
    path.write_text(table([row(1), row(2, **{column: text}), row(3)]))
    read = read_openface(path, probe=probe_of(3))
    assert [len(frame.faces) for frame in read.series.frames] == [1, 0, 1]
    shown = (
        "damaged rows, which count as frames without a face: 1 of 3 "
        f"(line 3, column {column}: {text.strip()!r} is not a number)"
    )
    assert read.told == (shown,)
    told = read_faces(path, width=640, height=360, frame_count=3).told
    assert told == (shown,), "also if OpenFace has just written it"


def test_a_row_that_is_too_short_is_repaired_only_in_files_that_people_bring(tmp_path) -> None:
    path = tmp_path / "clip.csv"
    path.write_text(table(rows())[:-90])
    read = read_openface(path, probe=probe_of(3))
    assert [len(frame.faces) for frame in read.series.frames] == [1, 1, 0]
    assert re.fullmatch(r"damaged rows, .*: 1 of 3 .line 4: \d+ values under \d+ columns.", read.told[0])
    with pytest.raises(OpenFaceError, match="line 4: .*; the line is cut off"):
        read_faces(path, width=640, height=360, frame_count=3)


def test_a_damaged_frame_number_costs_its_frame(tmp_path) -> None:
    path = tmp_path / "clip.csv"
    path.write_text(table([row(number, frame="" if number == 4 else number) for number in range(1, 11)]))
    found = read_openface(path, probe=probe_of(10)).series
    assert [len(frame.faces) for frame in found.frames] == [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]


MANY = 40


@pytest.mark.parametrize("dropped", [(5, 6, 7), (1, 2), (1, 20, 40), (38, 39, 40), (17,), (40,)])
@pytest.mark.parametrize("renumbered", [False, True])
def test_a_few_missing_rows_are_matched_by_number_or_timestamp(tmp_path, dropped, renumbered) -> None:
    kept = [number for number in range(1, MANY + 1) if number not in dropped]
    made = [
        row(number, frame=place if renumbered else number, timestamp=f"{(number - 1) / 25:.3f}", AU12_r=number / 10)
        for place, number in enumerate(kept, 1)
    ]
    path = tmp_path / "clip.csv"
    path.write_text(table(made))
    read = read_openface(path, probe=probe_of(MANY))
    found = {frame.index + 1: frame.faces[0].intensity["AU12"] for frame in read.series.frames if frame.faces}
    assert found == {number: number / 10 for number in kept}
    assert read.told[0].startswith("frames without a row, which count as without a face: ")
    assert f"{len(dropped)} of {MANY} (rows are matched by " in read.told[0]
    assert ("matched by timestamp" in read.told[0]) == (renumbered and dropped not in ((38, 39, 40), (40,)))
    if len(dropped) > 1:
        with pytest.raises(OpenFaceError, match="missing|another clip's file, or was cut off"):
            read_faces(path, width=640, height=360, frame_count=MANY)


def test_what_is_short_by_more_or_is_at_other_times_is_another_clips(tmp_path) -> None:
    path = tmp_path / "clip.csv"
    for made, told in (
        (rows(MANY - 5), "rows for 35 frames, but the clip has 40"),
        (
            [row(number, timestamp=number / 10) for number in range(1, MANY - 1)],
            "the clip has no frame at that",
        ),
        ([row(number, timestamp=(number // 2 + 9) / 25) for number in range(1, MANY - 1)], "the same frame as line 3"),
    ):
        path.write_text(table(made))
        with pytest.raises(OpenFaceError, match=told):
            read_openface(path, probe=probe_of(MANY))


def test_frames_have_the_clips_own_times(tmp_path) -> None:
    """OpenFace computes its timestamps from the mean rate, which says nothing if the rate varies."""
    path = tmp_path / "clip.csv"
    path.write_text(table(rows(4)))
    times = (0.0, 0.04, 0.9, 1.0)
    series = read_openface(path, probe=probe_of(4), times=times).series
    assert tuple(frame.timestamp for frame in series.frames) == times
    path.write_text(table([row(number) for number in range(1, 31) if number != 9]))
    times = tuple(index / 25 if index < 15 else index / 5 for index in range(30))
    found = read_openface(path, probe=probe_of(30), times=times)
    assert [frame.index for frame in found.series.frames if not frame.faces] == [8]
    assert "1 of 30 (rows are matched by number)" in found.told[0]


HARD = SHARED / "hard-inputs"


@pytest.mark.skipif(not HARD.is_dir(), reason="no ../shared/hard-inputs")
@pytest.mark.parametrize(
    ("name", "value"), [("of_nan1", "column pose_Rx: '-nan(ind)'"), ("of_nanc", "column confidence: '-nan")]
)
def test_the_files_that_people_reported(name, value) -> None:
    read = read_openface(HARD / f"{name}.csv", probe=probe_of(85, 640, 480))
    assert [frame.index for frame in read.series.frames if not frame.faces] == [40]
    assert ": 1 of 85 (" in read.told[0] and f"line 42, {value}" in read.told[0]
