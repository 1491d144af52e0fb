"""The grammar: what an answer may be, for any clues. Python's `re` reads the same expression."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow_llama3.grammar import answer_grammar
from merrflow_llama3.lexicon import gender, labels, voice_grounds
from merrflow_llama3.prompt import load_prompt
from merrflow_llama3.text import words
from merrflow_llama3.types import Clues
from tests.services.llama3.clue_sets import ANGRY, SAD

SMALL = load_prompt("small")


def expression(clues: Clues) -> str:
    source = answer_grammar(SMALL.prepare(clues))
    found = re.fullmatch(r"%llguidance \{\}\nstart: /(.*)/\n", source)
    assert found, source
    return found.group(1)


def fits(clues: Clues, answer: str) -> bool:
    return re.fullmatch(expression(clues), answer.removeprefix("In the video,")) is not None


def test_an_answer_over_the_clues_fits():
    assert fits(
        ANGRY,
        "In the video, two people are visible, and the nearest is shown in a medium shot, facing the camera, with "
        'tightened eyelids and lowered brows, and the voice is high-pitched and loud. The question "Who told you to '
        'touch my desk?" sounds like an accusation. The lowered brows and the loud voice suggest that the person feels '
        "angry.",
    )


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("lowered brows", "raised brows"),  # another expression
        ("angry.", "happy."),  # another feeling
        ("the person feels", "the teacher feels"),  # an invented role
        ("facing the camera", "facing the river"),  # an invented place
        ("my desk?", "my car?"),  # an altered quotation
    ],
)
def test_an_answer_beside_the_clues_does_not(right, wrong):
    answer = (
        "In the video, two people are visible, and the nearest is shown in a medium shot, facing the camera, with "
        'lowered brows and pressed lips, and the voice is high-pitched and loud. The question "Who told you to touch '
        'my desk?" sounds like an accusation. The lowered brows and the loud voice show that the person feels angry.'
    )
    assert fits(ANGRY, answer)
    assert right in answer and not fits(ANGRY, answer.replace(right, wrong))


def test_without_a_label_words_and_feeling_agree():
    clues = Clues(**{**vars(SAD), "label": ""})
    start = (
        "In the video, a person is shown in a close-up, with raised inner brows and lip corners pulled down, and the "
        "voice is low-pitched and quiet."
    )
    grief = 'The words "She left without a word" suggest grief.'
    assert fits(clues, f"{start} {grief} The raised inner brows and the quiet voice show that the person feels sad.")
    assert not fits(
        clues, f"{start} {grief} The raised inner brows and the quiet voice show that the person feels happy."
    )


CLUES = st.builds(
    Clues,
    scene=st.text(max_size=80),
    expressions=st.lists(st.text(max_size=20), max_size=4).map(tuple),
    tone=st.text(max_size=60),
    subtitle=st.text(max_size=80),
    label=st.sampled_from(["", "schadenfreude", *labels()]),
)


@settings(max_examples=150, deadline=None)
@given(CLUES)
def test_any_clues_give_a_grammar_on_one_line(clues):
    prepared = SMALL.prepare(clues)
    if not prepared.empty:
        re.compile(expression(clues))


@pytest.mark.parametrize(
    ("caption", "statement"),
    [
        ("a man sitting on a bench", "a man sits on a bench"),
        ("The image shows a woman wearing a red dress.", "a woman wears a red dress"),
        ("In the image, there is a man wearing a hat", "there is a man wearing a hat"),
        ("a man juggling with knives", "a man juggling with knives"),
    ],
)
def test_captions_become_statements(caption, statement):
    assert fits(
        Clues(scene=caption, label="sad"), f"In the video, {statement}. The scene shows that {_who(caption)} feels sad."
    )


def _who(caption: str) -> str:
    return gender(words(caption), []) or "the person"


@pytest.mark.parametrize(
    ("tone", "grounds"),
    [
        ("The voice is low-pitched and quiet, with a narrow pitch range and a slow pace", 
         ["low-pitched voice", "quiet voice", "narrow pitch range", "slow pace"]),
        ("The voice is moderately loud; it sounds neutral", ["neutral voice"]),
        ("her tone sounds normal", ["normal voice"]),
        ("There is no sound", []),
    ],
)  # fmt: skip
def test_what_a_voice_gives_as_grounds(tone, grounds):
    assert voice_grounds(tone) == grounds


def test_gender_only_where_the_clues_agree():
    assert gender(words("a woman with a man"), []) == "she"
    assert gender(words("a person with her dog"), words("his tone sounds calm")) == "he"
    assert gender(words("a woman on a chair"), words("his tone sounds calm")) == ""
    assert gender([], []) == ""
