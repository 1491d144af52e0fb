"""The sentences: what is said at which measurement, and that they are always sentences."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow_minigpt_v2.engines.measured.light import Light
from merrflow_minigpt_v2.engines.measured.movement import Movement
from merrflow_minigpt_v2.engines.measured.people import Face, People
from merrflow_minigpt_v2.engines.measured.wording import describe
from merrflow_serving.media.ocr import TextLine

SIZE = (640, 360)
FACE = Face((270, 80, 100, 130), 130, 0, 0, 0, 0, 0, 0.1, False)
LIGHT = Light(50, 18, 0.1, 12, 2, 15, 100, 5)
STILL = Movement(0.0, 0.05, 2)
NOTHING = Movement(None, None, 0)


def say(face: Face = FACE, *more: Face, hands=(), light=LIGHT, movement=STILL, text=()) -> str:
    return describe(SIZE, People((face, *more), tuple(hands)), light, movement, text)


def test_a_whole_description():
    assert say() == (
        "A person is shown in a medium close-up, centred, facing the camera. "
        "The scene is moderately lit with warm colours; the camera is still and the person hardly moves."
    )


@pytest.mark.parametrize(
    ("height", "shot"),
    [
        (20, "a long shot"),
        (40, "a medium long shot"),
        (80, "a medium shot"),
        (150, "a medium close-up"),
        (230, "a close-up"),
        (320, "an extreme close-up"),
    ],
)
def test_shot_size_is_the_face_in_the_picture(height, shot):
    assert f"in {shot}," in say(replace(FACE, height=height))


@pytest.mark.parametrize(("x", "place"), [(20, "left of centre"), (270, "centred"), (500, "right of centre")])
def test_place_is_the_viewers(x, place):
    assert place in say(replace(FACE, box=(x, 80, 100, 130)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"yaw": 20}, "head turned slightly right"),
        ({"yaw": -40}, "head turned left"),
        ({"yaw": -70}, "head in profile to the left"),
        ({"pitch": -20}, "head lowered"),
        ({"pitch": 20, "roll": 20}, "head raised and tilted right"),
        ({"yaw": 20, "pitch": -20, "roll": -20}, "head turned slightly right, lowered and tilted left"),
        ({"gaze_x": 0.6}, "facing the camera, eyes right"),
        ({"gaze_x": -0.6, "gaze_y": 0.5}, "eyes up and left"),
        ({"gaze_y": -0.6}, "eyes down"),
        ({"eye_closure": 0.7}, "eyes closed"),
        ({"eye_closure": 0.7, "gaze_y": -0.7}, "eyes lowered or closed"),
    ],
)
def test_head_and_eyes(change, words):
    assert f"{words}." in say(replace(FACE, **change))


def test_eyes_of_a_small_face_are_not_guessed():
    assert "eyes" not in say(replace(FACE, height=30, gaze_x=0.9))


def test_several_people_are_counted():
    other = replace(FACE, box=(20, 80, 40, 50), height=50)
    assert say(FACE, other).startswith("Two people are visible; the nearest is shown in a medium close-up, centred")
    assert say(FACE, *[other] * 9).startswith("Several people")


@pytest.mark.parametrize(
    ("faces", "hidden", "words"),
    [
        (1, 0, "A person is shown in a medium close-up, centred"),
        (
            1,
            1,
            "Two people are visible, one of them without a visible face; the one whose face is visible is shown in a",
        ),
        (1, 2, "Three people are visible, two of them without a visible face; the one whose face is visible is shown"),
        (2, 1, "Three people are visible, one of them without a visible face; the nearest whose face is visible is"),
        (2, 0, "Two people are visible; the nearest is shown in a medium close-up"),
        (2, 9, "Several people are visible, several of them without a visible face; the nearest whose face"),
        (0, 1, "A person is visible, but no face. "),
        (0, 2, "Two people are visible, but no face. "),
    ],
)
def test_people_without_a_face_are_people(faces, hidden, words):
    people = People((FACE,) * faces, (), hidden)
    assert describe(SIZE, people, LIGHT, STILL, ()).startswith(words)
    assert "the camera is still" in describe(SIZE, people, LIGHT, Movement(0.0, None, 2), ())


def test_hands_of_people_without_a_face():
    said = describe(SIZE, People((), ((0, 0, 9, 9),), 1), LIGHT, NOTHING, ())
    assert said.startswith("A person is visible, but no face; one hand can be seen.")


def test_hands_are_told_by_where_they_are():
    at_face, raised, low = (280, 150, 40, 50), (400, 230, 40, 50), (100, 350, 30, 10)
    assert "one hand at the face." in say(hands=[at_face])
    assert "two hands raised." in say(hands=[raised, raised])
    assert "one hand at the face, one hand raised and one hand also visible." in say(hands=[at_face, raised, low])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lightness": 15, "contrast": 5}, "very darkly lit with soft contrast and warm colours"),
        ({"lightness": 30}, "dimly lit"),
        ({"lightness": 75, "dark_share": 0.2}, "brightly lit"),
        ({"lightness": 25, "dark_share": 0.6}, "lit in low key"),
        ({"lightness": 80, "dark_share": 0.0}, "lit in high key"),
        ({"contrast": 30}, "strong contrast and warm colours"),
        ({"warmth": -10}, "cool colours"),
        ({"warmth": 0, "chroma": 6}, "muted neutral colours"),
        ({"chroma": 40}, "strong warm colours"),
        ({"chroma": 1}, "no colour"),
        ({"face_difference": -30}, "a background brighter than the face and warm colours"),
    ],
)
def test_light_and_colour(change, words):
    assert words in say(light=replace(LIGHT, **change))


@pytest.mark.parametrize(
    ("movement", "words"),
    [
        (Movement(0.0, 0.5, 2), "the camera is still and the person moves slightly."),
        (Movement(0.1, 2.0, 2), "the camera moves slowly and the person moves strongly."),
        (Movement(0.5, 0.0, 2), "the camera moves and the person hardly moves."),
        (NOTHING, "warm colours."),
    ],
)
def test_movement(movement, words):
    assert say(movement=movement).endswith(words)


def test_text_in_the_picture():
    low = TextLine("您真这么认为啊", 0.99, (200, 320, 200, 25))
    high = TextLine("Ward Eighteen", 0.99, (20, 20, 100, 25))
    assert say(text=[low]).endswith("; text is shown at the bottom.")
    assert say(text=[low, high]).endswith("; text can be read in the picture.")
    assert say(text=[high]).endswith('; the text "Ward Eighteen" is shown.')


def test_nobody_black_and_tiny():
    nobody = People((), ())
    assert describe(SIZE, nobody, LIGHT, Movement(0.0, None, 2), ()) == (
        "No face is visible. The scene is moderately lit with warm colours; nothing moves."
    )
    assert "No face is visible, but two hands can be seen." in describe(
        SIZE, People((), ((0, 0, 9, 9),) * 2), LIGHT, NOTHING, ()
    )
    assert describe(SIZE, nobody, Light(0, 0, 1, 0, 0, 0, 0, None), NOTHING, ()) == "The picture is black."
    assert "1 by 1 pixels" in describe((1, 1), nobody, LIGHT, NOTHING, ())


FACES = st.builds(
    Face,
    st.tuples(*[st.floats(0, 600)] * 2, *[st.floats(1, 300)] * 2),
    st.floats(1, 400),
    *[st.floats(-90, 90)] * 3,
    *[st.floats(-1, 1)] * 2,
    st.floats(0, 1),
    st.booleans(),
)


@given(
    st.lists(FACES, max_size=8),
    st.lists(st.tuples(*[st.floats(0, 600)] * 2, *[st.floats(1, 100)] * 2), max_size=7),
    st.none() | st.integers(0, 9),
    st.builds(
        Light,
        st.floats(0, 100),
        st.floats(0, 50),
        st.floats(0, 1),
        *[st.floats(-90, 90)] * 2,
        st.floats(0, 90),
        st.floats(0, 1e4),
        st.none() | st.floats(-100, 100),
    ),
    st.builds(Movement, st.none() | st.floats(0, 9), st.none() | st.floats(0, 9), st.just(1)),
    st.lists(
        st.builds(TextLine, st.text(min_size=1, max_size=40), st.floats(0.8, 1), st.tuples(*[st.floats(0, 300)] * 4)),
        max_size=4,
    ),
)
@settings(deadline=None, max_examples=300)
def test_every_measurement_makes_short_plain_sentences(faces, hands, hidden, light, movement, text):
    said = describe(SIZE, People(tuple(faces), tuple(hands), hidden), light, movement, text)
    assert said[0].isupper() and said.endswith(".")
    assert len(said.split()) <= 86 + 30 * ("the text" in said)
    plain = re.sub(r'the text "[^"]*" is shown', "", said)
    assert not re.search(r"None|nan|  |,,|, \.|and and|\bhe\b|\bshe\b|\bman\b|\bwoman\b", plain)
