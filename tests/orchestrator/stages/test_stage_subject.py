"""Following persons and choosing the subject."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merrflow.core.faces import Face
from merrflow.core.measurements import Shot, Subject
from merrflow.stages import subject
from merrflow.stages.stage import Skip
from tests.orchestrator.formats.openface_csv import SHARED, shared_series
from tests.orchestrator.stages.faces import face, frames_of, series, sound_of, talk

OPENFACE = SHARED / "openface"


def test_one_person_through_the_clip() -> None:
    chosen = subject.choose(series([[face(x=100 + i)] for i in range(25)]))
    assert isinstance(chosen, Subject)
    assert chosen.faces == tuple((i, 0) for i in range(25))
    assert (chosen.persons, chosen.margin) == (1, 1.0)
    assert chosen.reason == "the only person followed, in view for 25 of 25 frames"


def test_no_face_is_a_skip_with_its_reason() -> None:
    assert subject.choose(series([[]] * 10)) == Skip("no face is found in any of the 10 frames")
    assert subject.choose(series([])) == Skip("no face is found in any of the 0 frames")


def test_unsure_faces_are_a_skip_of_their_own() -> None:
    chosen = subject.choose(series([[face(confidence=0.4)]] * 10))
    assert isinstance(chosen, Skip)
    assert "never surely: confidence 0.40 at best, 0.70 needed" in chosen.reason


def test_tiny_faces_are_a_skip_of_their_own() -> None:
    chosen = subject.choose(series([[face(size=10)]] * 10))
    assert chosen == Skip("the largest face is 10 of 360 pixels high, too small to read (least: 14)")


def test_a_face_of_a_moment_does_not_count() -> None:
    frames = [[face(x=50)] for _ in range(50)]
    for i in (20, 21):
        frames[i] = [face(x=50), face(x=400, size=200)]
    chosen = subject.choose(series(frames))
    assert chosen.persons == 1
    assert chosen.faces == tuple((i, 0) for i in range(50))
    assert chosen.reason.endswith("1 brief or tiny face left out")


def test_a_clip_of_one_frame_has_its_subject() -> None:
    chosen = subject.choose(series([[face(x=10, size=60), face(x=300)]]))
    assert chosen.faces == ((0, 1),)


def test_the_order_of_faces_in_a_frame_does_not_matter() -> None:
    left = [face(x=50 + i, size=100) for i in range(20)]
    right = [face(x=400 - i, size=60) for i in range(20)]
    frames = [[a, b] if i % 2 else [b, a] for i, (a, b) in enumerate(zip(left, right, strict=True))]
    chosen = subject.choose(series(frames))
    assert chosen.faces == tuple((i, 0 if i % 2 else 1) for i in range(20))


def test_crossing_neighbours_keep_their_person() -> None:
    """Two faces side by side that both move to the right: the nearer box is not always the same person's."""
    frames = [[face(x=100 + 20 * i, size=60), face(x=180 + 20 * i, size=60)] for i in range(10)]
    chosen = subject.choose(series(frames))
    assert chosen.persons == 2
    assert len({place for _, place in chosen.faces}) == 1


def test_a_short_loss_is_bridged_and_a_long_one_is_not() -> None:
    short = [[face()] if not 10 <= i < 20 else [] for i in range(40)]
    assert subject.choose(series(short)).persons == 1
    long = [[face(x=100 if i < 10 else 180)] if not 10 <= i < 30 else [] for i in range(60)]
    assert subject.choose(series(long)).persons == 2


def test_after_a_long_loss_a_face_is_the_same_person_only_in_its_place() -> None:
    def back(**changes: float) -> int:
        frames = [[face(**({} if i < 10 else changes))] if not 10 <= i < 40 else [] for i in range(60)]
        return subject.choose(series(frames)).persons

    assert back() == back(x=110, yaw=10) == 1
    assert back(x=160) == back(yaw=25) == 2


def test_faces_of_a_frame_are_matched_together_and_not_one_by_one() -> None:
    """Two who move to the right: the nearest pair (100 to 95) would leave a face to a stranger."""
    before, after = [60.0, 100.0], [95.0, 140.0]
    frames = [[face(x=x, size=100) for x in places] for places in [before] * 6 + [after] * 6]
    chosen = subject.choose(series(frames))
    assert chosen.persons == 2
    assert len({place for _, place in chosen.faces}) == 1


def test_a_cut_ends_a_person() -> None:
    frames = [[face(x=100)] for _ in range(30)] + [[face(x=120)] for _ in range(10)]
    chosen = subject.choose(series(frames), shots=(Shot(0, 30), Shot(30, 40)))
    assert frames_of(chosen) == list(range(30))
    assert chosen.persons == 2


def test_a_face_that_stays_in_place_goes_through_a_false_cut() -> None:
    frames = [[face()] for _ in range(40)]
    chosen = subject.choose(series(frames), shots=(Shot(0, 30), Shot(30, 40)))
    assert frames_of(chosen) == list(range(40))
    assert "followed by place through 2 shots" in chosen.reason
    turned = [[face()] for _ in range(30)] + [[face(yaw=30)] for _ in range(10)]
    assert subject.choose(series(turned), shots=(Shot(0, 30), Shot(30, 40))).persons == 2


def test_a_cut_that_was_missed_ends_a_person_too() -> None:
    frames = [[face(x=50)] for _ in range(30)] + [[face(x=450)] for _ in range(10)]
    assert frames_of(subject.choose(series(frames))) == list(range(30))


@pytest.mark.parametrize("wins", [0, 1])
def test_the_larger_face_is_chosen(wins: int) -> None:
    sizes = [120, 60] if wins == 0 else [60, 120]
    frames = [[face(x=50, size=sizes[0]), face(x=350, size=sizes[1])] for _ in range(20)]
    chosen = subject.choose(series(frames))
    assert {place for _, place in chosen.faces} == {wins}
    assert 0 < chosen.margin < 1
    assert "of 2 persons: largest face" in chosen.reason


def test_of_two_alike_the_frontal_one_is_chosen() -> None:
    frames = [[face(x=50, yaw=70), face(x=350)] for _ in range(20)]
    assert subject.choose(series(frames)).faces[0] == (0, 1)


ABA = (Shot(0, 20), Shot(20, 35), Shot(35, 50))


def counter_shot(*places: float, yaws: tuple[float, ...] = (0, 0, 0)) -> Subject:
    """Three shots of 20, 15 and 15 frames, with a face at each of the places."""
    frames = [
        [face(x=place + i % 3, yaw=yaw)]
        for shot, place, yaw in zip(ABA, places, yaws, strict=True)
        for i in range(shot.start, shot.end)
    ]
    return subject.choose(series(frames), ABA)


def test_shot_and_counter_shot() -> None:
    there_and_back = counter_shot(100, 400, 110, yaws=(20, -25, 25))
    assert (there_and_back.persons, frames_of(there_and_back)) == (2, [*range(20), *range(35, 50)])
    assert "in view for 35 of 50 frames" in there_and_back.reason
    assert there_and_back.reason.endswith("followed by place through 2 shots")
    assert counter_shot(100, 400, 250).persons == 3  # back in another place
    assert counter_shot(100, 400, 100, yaws=(20, -25, -20)).persons == 3  # turned the other way


def test_people_one_after_the_other_mid_picture_are_not_taken_for_one() -> None:
    assert counter_shot(100, 100, 100).persons == 1  # nothing moved at all: cuts that are none
    assert counter_shot(100, 145, 105, yaws=(0, 20, 0)).persons == 3


def test_a_counter_shot_seen_twice() -> None:
    """A-B-A-B: both persons are found again, each in its own place."""
    shots = tuple(Shot(start, start + 15) for start in range(0, 60, 15))
    frames = [[face(x=100 if i // 15 % 2 == 0 else 400)] for i in range(60)]
    chosen = subject.choose(series(frames), shots)
    assert chosen.persons == 2
    assert frames_of(chosen) == [*range(15), *range(30, 45)]


def test_who_drifts_from_shot_to_shot_is_sought_where_last_seen() -> None:
    shots = tuple(Shot(start, start + 15) for start in range(0, 75, 15))
    frames = [[face(x=(100, 400, 130, 400, 160)[i // 15])] for i in range(75)]
    assert subject.choose(series(frames), shots).persons == 2
    frames = [[face(x=(100, 400, 160)[i // 15])] for i in range(45)]
    assert subject.choose(series(frames), shots[:3]).persons == 3


def test_a_box_that_is_the_whole_picture_joins_nobody() -> None:
    """OpenFace's files without landmarks and pose do not tell where the face is."""
    frames = [[Face((0.0, 0.0, 640.0, 360.0), 0.9, 0, 0, 0, {}, frozenset())] for _ in range(40)]
    assert subject.choose(series(frames), (Shot(0, 25), Shot(25, 40))).persons == 2
    assert frames_of(subject.choose(series(frames))) == list(range(40))
    for i in range(12, 32):
        frames[i] = []
    assert subject.choose(series(frames)).persons == 2  # nor after a long loss


@given(
    st.lists(
        st.lists(
            st.builds(
                face,
                x=st.floats(-50, 600),
                y=st.floats(-50, 330),
                size=st.floats(0, 300),
                confidence=st.floats(0, 1),
                yaw=st.floats(-90, 90),
                mouth=st.none() | st.floats(0, 1),
            ),
            max_size=3,
        ),
        max_size=30,
    )
)
def test_whatever_the_faces_the_subject_is_one_face_a_frame(frames) -> None:
    sound = sound_of(talk(1, len(frames)))
    chosen = subject.choose(series(frames), (Shot(0, 7), Shot(7, 12), Shot(12, 30)), sound)
    if isinstance(chosen, Skip):
        assert chosen.reason
        return
    indices = frames_of(chosen)
    assert indices == sorted(set(indices))
    assert all(frames[frame][place].confidence >= 0.7 for frame, place in chosen.faces)
    assert 0 <= chosen.margin <= 1


@pytest.mark.skipif(not OPENFACE.is_dir(), reason="no OpenFace outputs in ../shared/openface")
@pytest.mark.parametrize("shots", [(), (Shot(0, 39), Shot(39, 52))])
def test_51251_is_about_the_man_before_the_cut(shots) -> None:
    chosen = subject.choose(shared_series("samplenew_00051251", 1920, 1080), shots)
    assert frames_of(chosen) == list(range(39))
    assert chosen.persons == 2


@pytest.mark.skipif(not OPENFACE.is_dir(), reason="no OpenFace outputs in ../shared/openface")
def test_4671_has_no_face() -> None:
    chosen = subject.choose(shared_series("sample_00004671", 1280, 720))
    assert chosen == Skip("no face is found in any of the 119 frames")
