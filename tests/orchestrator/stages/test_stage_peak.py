"""Finding the peak frame."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merrflow.core.measurements import Peak, Shot, Subject
from merrflow.facs import load_lexicon, load_rules
from merrflow.formats.openface_csv import read_openface
from merrflow.stages import label, peak, subject
from merrflow.stages.probe import decode
from merrflow.stages.stage import Skip
from tests.orchestrator.formats.openface_csv import SHARED, shared_series
from tests.orchestrator.stages.faces import face, series

MERR = load_rules("merr").peak
WINDOWED = load_rules("default").peak
DEFAULT = WINDOWED.model_copy(update={"window": 0.0})  # frame by frame, to see what each condition does
OPENFACE = SHARED / "openface"


def find(faces, rules=DEFAULT, shots=()) -> Peak | Skip:
    made = series([[one] for one in faces])
    followed = Subject(tuple((i, 0) for i in range(len(faces))), 1, 1.0, "")
    return peak.find(made, followed, rules, shots)


def test_the_published_example_through_to_its_phrases() -> None:
    """Followed as a person, peak, label: frame 1, surprise, and one phrase each of AU05 and AU26."""
    values = [(0.1, 0.5), (0.36, 1.02), *[(0.1, 0.5)] * 5, (0.0, 1.25), (0.1, 0.5), (0.1, 0.5)]
    made = series([[face(intensity={"AU05": lid, "AU26": jaw, "AU12": 0.0})] for lid, jaw in values])
    found = peak.find(made, subject.choose(made), MERR)
    assert (found.index, found.total, found.action_units) == (1, 1.38, ("AU05", "AU26"))
    rules, phrases = load_rules("merr"), load_lexicon("merr").phrases
    labels = [label.decide(found, f"clip_{number}", rules, made.measurable) for number in range(200)]
    assert {(one.label, one.action_units) for one in labels} == {("surprise", ("AU05", "AU26"))}
    drawn = {one.expressions for one in labels}
    assert ("Eyes widened", "Wide-mouthed") in drawn
    assert drawn <= {(lid, jaw) for lid in phrases["AU05"] for jaw in phrases["AU26"]}
    assert labels[0] == label.decide(found, "clip_0", rules, made.measurable)  # a rerun gives the same words


def test_the_published_example() -> None:
    """AU05 and AU26 are the most frequent; 0.36 + 1.02 at frame 1 beats 0.00 + 1.25 at frame 7."""
    faces = [face(intensity={"AU05": 0.1, "AU26": 0.5, "AU12": 0.0}) for _ in range(10)]
    faces[1] = face(intensity={"AU05": 0.36, "AU26": 1.02})
    faces[7] = face(intensity={"AU05": 0.00, "AU26": 1.25, "AU12": 2.0})  # AU12 is not frequent
    found = find(faces, MERR)
    assert found.frequent == ("AU26", "AU05")
    assert found.index == 1
    assert found.total == pytest.approx(1.38)
    assert found.action_units == ("AU05", "AU26")


def test_a_tie_goes_to_the_earlier_frame() -> None:
    faces = [face(intensity={"AU12": value, "AU06": 0.3}) for value in (1.0, 2.0, 2.0, 1.0)]
    assert find(faces, MERR).index == 1
    # 0.1 + 0.2 and 0.3 differ in the last bit only
    faces = [face(intensity={"AU12": 0.3, "AU06": 0.0}), face(intensity={"AU12": 0.1, "AU06": 0.2})]
    assert find(faces, MERR).index == 0


def test_speech_and_blinks_do_not_choose_the_default_peak() -> None:
    faces = [face(intensity={"AU25": 1.0, "AU26": 1.0, "AU12": 1.0, "AU45": 0.0}) for _ in range(10)]
    faces[3] = face(intensity={"AU25": 5.0, "AU26": 5.0, "AU12": 1.1})
    faces[5] = face(intensity={"AU25": 1.0, "AU26": 1.0, "AU12": 3.0})
    faces[6] = face(intensity={"AU25": 1.0, "AU12": 4.0, "AU45": 3.0})
    found = find(faces)
    assert found.index == 5
    assert found.frequent == ("AU12",)
    assert find(faces, MERR).index == 3


def test_where_nothing_else_is_there_speech_chooses_and_says_so() -> None:
    faces = [face(intensity={"AU25": value}) for value in (0.5, 2.0, 1.0)]
    found = find(faces)
    assert found.index == 1
    assert found.reason.endswith("only units of speech or blinking are present")


def test_only_blinks() -> None:
    found = find([face(intensity={"AU45": value}) for value in (0.5, 2.0, 1.0)])
    assert (found.index, found.frequent) == (1, ("AU45",))


def test_without_any_unit_the_most_active_frame_stands_in() -> None:
    faces = [face(intensity={"AU12": value}, present=()) for value in (0.1, 0.15, 0.1)]
    found = find(faces)
    assert (found.index, found.frequent, found.action_units, dict(found.intensity)) == (1, (), (), {})
    assert "no unit is present in any frame" in found.reason


def test_frames_of_low_confidence_are_left_out() -> None:
    faces = [face(intensity={"AU12": 1.0}) for _ in range(5)]
    faces[2] = face(intensity={"AU12": 5.0}, confidence=0.69)
    found = find(faces)
    assert found.index == 0
    assert found.reason.endswith("1 frames of low confidence left out")
    assert isinstance(find([face(confidence=0.5)]), Skip)


def test_a_frame_of_just_enough_confidence_counts() -> None:
    least = DEFAULT.minimum_confidence
    faces = [face(confidence=least, intensity={"AU12": 3.0}), face(confidence=1.0, intensity={"AU12": 1.0})]
    assert find(faces).index == 0


def test_presence_without_intensity_does_not_count_by_default_but_does_in_merr() -> None:
    faces = [face(intensity={"AU12": 1.0, "AU04": 0.0}, present=("AU04", "AU12")) for _ in range(5)]
    assert find(faces).action_units == ("AU12",)
    assert find(faces, MERR).action_units == ("AU04", "AU12")


def test_intensity_without_presence_does_not_count_by_default() -> None:
    faces = [face(intensity={"AU12": 1.0}) for _ in range(5)]
    faces[2] = face(intensity={"AU12": 3.0}, present=())
    assert find(faces).index == 0
    assert find(faces, MERR).index == 2


def test_a_unit_told_by_presence_only_stands_at_the_peak_but_cannot_choose_it() -> None:
    found = find([face(intensity={"AU12": value}, present=("AU12", "AU28")) for value in (1.0, 2.0)])
    assert (found.index, found.frequent) == (1, ("AU12",))
    assert found.action_units == ("AU12", "AU28")
    assert dict(found.intensity) == {"AU12": 2.0}


def test_frames_beside_a_cut_turned_away_or_blurred_come_second() -> None:
    shots = (Shot(0, 10), Shot(10, 20))
    faces = [face(intensity={"AU12": 1.0}) for _ in range(10)]
    faces[8] = face(intensity={"AU12": 3.0})
    assert find(faces).index == 8
    made = series([[one] for one in faces] + [[]] * 10)
    followed = Subject(tuple((i, 0) for i in range(10)), 1, 1.0, "")
    assert peak.find(made, followed, DEFAULT, shots).index == 0
    away = [face(intensity={"AU12": 1.0 + (i == 5)}, yaw=60 if 3 <= i <= 7 else 0) for i in range(11)]
    assert find(away).index not in range(3, 8)
    turning = [face(intensity={"AU12": 1.0 + (i == 5)}, yaw=5.0 * max(0, min(i - 3, 4))) for i in range(11)]
    assert find(turning).index == 0
    jitter = [face(intensity={"AU12": 1.0 + (i == 5)}, yaw=2.5 * (i % 2)) for i in range(11)]
    assert find(jitter).index == 5  # a noisy pose is no turn
    assert find([face(intensity={"AU12": 1.0}, yaw=60)] * 3).index == 0  # nothing better there


def test_the_peak_tells_whose_face_it_is() -> None:
    frames = [[face(x=400, size=150), face(x=20 + i, intensity={"AU12": i}, confidence=0.9)] for i in range(5)]
    followed = Subject(tuple((i, 1) for i in range(5)), 2, 0.5, "")
    found = peak.find(series(frames), followed, DEFAULT)
    assert (found.index, found.confidence, found.box) == (4, 0.9, (24, 100, 100, 100))


def test_units_told_by_presence_alone_count_one_each() -> None:
    """OpenFace's files may have AUxx_c and no AUxx_r."""
    shown = [("AU12",), ("AU06", "AU12"), ("AU06", "AU12", "AU25"), ("AU01",), ()]
    for rules in (MERR, DEFAULT):
        found = find([face(present=codes) for codes in shown], rules)
        assert (found.index, found.total, dict(found.intensity)) == (1, 2.0, {})
        assert "told by presence only" in found.reason
        assert find([face(present=())] * 3, rules).index == 0


def test_the_peak_is_the_subjects_own_across_cuts() -> None:
    """A-B-A: B smiles most, and the peak is A's, after the counter-shot."""
    shots = (Shot(0, 20), Shot(20, 30), Shot(30, 50))
    frames = [[face(x=400 if 20 <= i < 30 else 100, intensity={"AU12": 1 + i / 50})] for i in range(50)]
    for i in range(20, 30):
        frames[i] = [face(x=400, intensity={"AU12": 5.0})]
    made = series(frames)
    found = peak.find(made, subject.choose(made, shots), DEFAULT, shots)
    assert found.index == 49
    assert "AU12 in 40" in found.reason


def of_rate(values, fps, rules=WINDOWED) -> Peak:
    made = series([[face(intensity={"AU12": value})] for value in values], fps)
    return peak.find(made, Subject(tuple((i, 0) for i in range(len(values))), 1, 1.0, ""), rules)


def test_the_published_rules_judge_single_frames() -> None:
    assert MERR.window == 0
    assert WINDOWED.window > 0


@pytest.mark.parametrize("fps", [5, 12, 25, 30, 60])
def test_a_held_expression_beats_a_single_spike(fps) -> None:
    values = [0.5] * (4 * fps)
    values[fps // 2] = 3.0 if fps > 5 else 1.0
    held = range(2 * fps, 3 * fps + 1)
    for index in held:
        values[index] = 2.0
    found = of_rate(values, fps)
    assert found.index in held
    assert dict(found.intensity) == {"AU12": 2.0}


@pytest.mark.parametrize("fps", [5, 25, 60])
def test_a_constant_series_peaks_at_its_first_frame(fps) -> None:
    found = of_rate([1.0] * 40, fps)
    assert (found.index, found.total, dict(found.intensity)) == (0, 1.0, {"AU12": 1.0})


def test_a_frame_without_evidence_is_no_peak_beside_others() -> None:
    """Frames with evidence are all turned away: they are preferred all the same."""
    faces = [face(intensity={"AU12": 0.0})] * 5 + [face(intensity={"AU12": 1.0}, yaw=60)] * 5
    for rules in (DEFAULT, WINDOWED):
        found = find(faces, rules)
        assert found.index >= 5
        assert found.total > 0


@given(st.lists(st.floats(0, 5), min_size=1, max_size=40), st.sets(st.integers(0, 39)), st.integers(5, 60))
def test_any_window_gives_values_between_those_of_the_series(values, gaps, fps) -> None:
    kept = [i for i in range(len(values)) if i not in gaps] or [0]
    made = series([[face(intensity={"AU12": value})] for value in values], fps)
    found = peak.find(made, Subject(tuple((i, 0) for i in kept), 1, 1.0, ""), WINDOWED)
    assert found.index in kept
    seen = [values[i] for i in kept]
    assert all(min(seen) - 1e-5 <= value <= max(seen) + 1e-5 for value in found.intensity.values())
    assert -1e-5 <= found.total <= max(seen) + 1e-5
    if any(value >= WINDOWED.minimum_intensity for value in seen):
        assert values[found.index] > 0


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["AU01", "AU12", "AU25", "AU45"]), st.floats(0, 5), max_size=4),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from([MERR, DEFAULT]),
)
def test_the_peak_is_a_frame_of_the_subject_and_its_sum_is_right(intensities, rules) -> None:
    faces = [face(intensity=values) for values in intensities]
    found = find(faces, rules)
    at = faces[found.index]
    assert set(found.action_units) <= at.present
    assert found.timestamp == found.index / 25
    if found.frequent and not rules.only_present:
        assert found.total == pytest.approx(sum(at.intensity.get(code, 0) for code in found.frequent), abs=1e-5)
        assert all(found.total >= sum(one.intensity.get(code, 0) for code in found.frequent) - 1e-5 for one in faces)


@pytest.mark.skipif(not OPENFACE.is_dir(), reason="no OpenFace outputs in ../shared/openface")
@pytest.mark.parametrize(("name", "rules"), [("merr", MERR), ("default", WINDOWED)])
def test_51251_peaks_on_the_man_before_the_cut(name, rules) -> None:
    made = shared_series("samplenew_00051251", 1920, 1080)
    shots = (Shot(0, 39), Shot(39, 52))
    found = peak.find(made, subject.choose(made, shots), rules, shots)
    assert found.index < 37
    if name == "default":
        assert "AU45" not in found.action_units  # his eyes are closed in frames 8 to 12
        assert "AU01" in found.action_units  # the raised inner brows that the eye sees


@pytest.mark.skipif(not OPENFACE.is_dir(), reason="no OpenFace outputs in ../shared/openface")
@pytest.mark.skipif(not (SHARED / "clips").is_dir(), reason="no clips in ../shared/clips")
def test_51251_with_its_clip_stays_on_the_man_in_view_for_most_of_it() -> None:
    """The shots and the voice from the clip, the Action Units from its CSV: none of them knows of the other."""
    path = SHARED / "clips" / "samplenew_00051251.mp4"
    facts = decode(path, max_seconds=10, max_pixels=1920 * 1080, with_text=False).probe
    made = read_openface(OPENFACE / "samplenew_00051251.csv", probe=facts).series
    person = subject.choose(made, facts.shots, facts.voice_energy)
    assert [index for index, _ in person.faces] == list(range(39))
    for rules in (MERR, DEFAULT):
        found = peak.find(made, person, rules, facts.shots)
        assert found.index < 39 and found.confidence >= 0.9
        x, y, width, height = found.box
        assert 1000 < x + width / 2 < 1250 and 250 < y + height / 2 < 450  # his face, right of the middle


@pytest.mark.skipif(not OPENFACE.is_dir(), reason="no OpenFace outputs in ../shared/openface")
def test_669_peaks_on_the_open_face_and_not_in_the_turn_of_the_head() -> None:
    made = shared_series("sample_00000669", 720, 404)
    found = peak.find(made, subject.choose(made), DEFAULT)
    assert 128 <= found.index <= 134  # looks into the camera with raised brows and an open mouth


def test_no_window_goes_beyond_its_shot() -> None:
    seen = SimpleNamespace(indices=range(10), times=[number / 25 for number in range(10)])
    windows = peak._windows(seen, 0.4, (Shot(0, 4), Shot(4, 10)))  # five frames on either side
    assert windows == [range(0, 4)] * 4 + [range(4, 10)] * 6
    assert peak._windows(seen, 0.4, ())[3] == range(0, 9)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0.001, 0.2)), min_size=1, max_size=60), st.floats(0, 2))
def test_sums_of_a_window_are_weighted_by_their_distance_in_time(values, half):
    """To the last bit, which decides between frames that are nearly as strong."""
    sums = [value for value, _ in values]
    times = [sum(step for _, step in values[:place]) for place in range(len(values))]
    windows = [range(middle, len(values)) for middle in range(len(values))]
    found = peak._weighted(sums, times, windows, half)
    for middle, window in enumerate(windows):
        weights = [max(0.0, 1 - abs(times[place] - times[middle]) / half) if half else 1.0 for place in window]
        expected = sum(weight * sums[place] for weight, place in zip(weights, window, strict=True)) / sum(weights)
        assert found[middle] == expected
