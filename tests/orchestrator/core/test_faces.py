"""Faces in arrays are the faces that they were made of, also as ledgers of this and of earlier versions keep them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from merrflow.core.faces import Face, FaceFrame, FaceFrames
from merrflow.core.measurements import ActionUnitSeries

NUMBERS = st.floats(-1e6, 1e6)
CODES = st.sampled_from(("AU01", "AU12", "AU25", "AU28"))
FACES = st.builds(
    Face,
    box=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    confidence=NUMBERS,
    pitch=NUMBERS,
    yaw=NUMBERS,
    roll=NUMBERS,
    intensity=st.dictionaries(CODES, NUMBERS),
    present=st.frozensets(CODES),
    mouth_opening=st.none() | NUMBERS,
    second_pass=st.booleans(),
    expression=st.dictionaries(st.sampled_from(("happy", "neutral")), NUMBERS),
    embedding=st.lists(st.floats(width=16, allow_nan=False, allow_infinity=False), max_size=3).map(tuple),
)
FRAMES = st.lists(st.lists(FACES, max_size=3), max_size=5).map(
    lambda all: tuple(FaceFrame(index, index / 25, tuple(faces)) for index, faces in enumerate(all))
)
SERIES, FORMER = TypeAdapter(ActionUnitSeries), TypeAdapter(tuple[FaceFrame, ...])
FACE = Face((1.0, 2.0, 3.0, 4.0), 0.9, 0.0, 0.0, 0.0, {"AU12": 1.5}, frozenset({"AU12"}), embedding=(0.5, 1.0))
TWO = (FaceFrame(0, 0.0, ()), FaceFrame(1, 0.04, (FACE, FACE)))


def series(frames: tuple[FaceFrame, ...]) -> ActionUnitSeries:
    return ActionUnitSeries(640, 360, 25.0, ("AU12",), frames)


@given(FRAMES)
def test_frames_are_those_that_were_given_and_what_is_kept_says_the_same(frames):
    made = series(frames)
    assert tuple(made.frames) == frames and made.frames == frames
    assert SERIES.validate_json(SERIES.dump_json(made)) == made


@given(FRAMES)
def test_ledgers_of_earlier_versions_are_read(frames):
    value = SERIES.dump_python(series(()), mode="json") | {"frames": FORMER.dump_python(frames, mode="json")}
    assert SERIES.validate_python(value) == series(frames)


def test_what_is_kept_is_half_of_what_objects_took():
    face = Face(FACE.box, 0.9, 0.1, 0.2, 0.3, {f"AU{n:02}": n / 8 for n in range(17)}, frozenset({"AU12"}))
    frames = tuple(FaceFrame(index, index / 25, (face,)) for index in range(100))
    assert 2 * len(SERIES.dump_json(series(frames))) < len(FORMER.dump_json(frames))


@pytest.mark.parametrize(
    "change",
    [
        {"faces": [0, 1]},
        {"faces": [-1, 3]},
        {"box": [1.0]},
        {"timestamp": [0.0]},
        {"present": {"AU12": "1"}},
        {"present": {"AU01": "11"}},
        {"present": {"AU12": "1é"}},
        {"intensity": {"AU12": [1.0]}},
        {"embedding": ["AA==", ""]},
        {"embedding": ["?", ""]},
        {"second_pass": None},
    ],
    ids=str,
)
def test_lists_that_do_not_belong_together_are_refused(change):
    value = SERIES.dump_python(series(TWO), mode="json")
    value["frames"] |= change
    with pytest.raises(ValidationError):
        SERIES.validate_python(value)


def test_rows_are_found_by_frame_and_place():
    frames = FaceFrames.of([FaceFrame(3, 0.1, (FACE,)), *TWO[1:], FaceFrame(7, 0.3, (FACE,))])
    assert frames.rows([(3, 0), (1, 1), (7, 0)]).tolist() == [0, 2, 3]
    assert frames.frame_of(frames.rows([(1, 1), (7, 0)])).tolist() == [1, 2]
    for wrong in ([(4, 0)], [(3, 1)], [(3, -1)]):
        with pytest.raises(LookupError):
            frames.rows(wrong)
    assert frames[-1] == frames[2] and [frame.index for frame in frames[1:]] == [1, 7]
    with pytest.raises(IndexError):
        frames[3]


def test_an_embedding_is_of_16_bits():
    exact = struct.unpack("<2e", struct.pack("<2e", 0.1, 0.2))
    [frame] = FaceFrames.of([FaceFrame(0, 0.0, (Face((0, 0, 1, 1), 1, 0, 0, 0, {}, frozenset(), embedding=exact),))])
    assert frame.faces[0].embedding == exact
