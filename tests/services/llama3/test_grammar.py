"""The grammar: what an answer may be, for any clues. Python's `re` reads the same expression."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow_llama3 import checks
from merrflow_llama3.bearing import grounds
from merrflow_llama3.grammar import answer_grammar
from merrflow_llama3.lexicon import gender, labels, voice_grounds
from merrflow_llama3.prompt import load_prompt
from merrflow_llama3.text import words
from merrflow_llama3.types import Clues
from tests.services.llama3.clue_sets import ANGRY, CHINESE, SAD

SMALL = load_prompt("small")


def expression(clues: Clues) -> str:
    source = answer_grammar(SMALL.prepare(clues))
    found = re.fullmatch(r"%llguidance \{\}\nstart: /(.*)/\n", source)
    assert found, source
    return found.group(1)


def fits(clues: Clues, answer: str) -> bool:
    return re.fullmatch(expression(clues), answer.removeprefix("In the video,")) is not None


ANSWER = (
    "In the video, two people are visible, and the nearest is shown in a medium shot, facing the camera, with pressed "
    "lips, lowered brows and tightened eyelids, and a loud voice, a wide pitch range and a fast pace are heard, while "
    'the words are "Who told you to touch my desk?". The lowered brows and the loud voice suggest that the person '
    "feels angry."
)


def test_an_answer_over_the_clues_fits():
    assert fits(ANGRY, ANSWER)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("lowered brows", "raised brows"),  # another expression
        ("angry.", "happy."),  # another feeling
        ("the person feels", "the teacher feels"),  # an invented role
        ("facing the camera", "facing the river"),  # an invented place
        ("my desk?", "my car?"),  # an altered quotation
        ("The lowered brows and", "The high-pitched voice and"),  # a clue that does not bear on the label
    ],
)
def test_an_answer_beside_the_clues_does_not(right, wrong):
    assert right in ANSWER and not fits(ANGRY, ANSWER.replace(right, wrong))


def test_the_words_are_a_ground_only_if_they_bear_on_the_label():
    said = "The lowered brows and the words suggest that the person feels angry."
    answer = ANSWER[: ANSWER.rindex("The ")] + said
    assert fits(ANGRY, answer)
    other = Clues(**{**vars(ANGRY), "subtitle": "The bus leaves at nine."})
    assert not fits(other, answer.replace("Who told you to touch my desk?", "The bus leaves at nine"))
    assert fits(other, ANSWER.replace("Who told you to touch my desk?", "The bus leaves at nine"))


def test_a_subtitle_in_any_language_is_quoted_and_its_translation_may_be_a_ground():
    quoted = (
        "In the video, a young woman sits on a bench in a park, with a toothy smile and raised cheeks, and a cheerful "
        'voice is heard, while the words are "我们终于可以回家了！". '
    )
    clues = Clues(**{**vars(CHINESE), "subtitle": "我们终于可以回家了！", "tone": "The voice is cheerful"})
    assert fits(clues, f"{quoted}The toothy smile and the cheerful voice show that she feels happy.")
    assert not fits(clues, f"{quoted}The toothy smile and the words show that she feels happy.")
    translated = Clues(**{**vars(clues), "translation": "Great, we can go home!"})
    assert fits(
        translated,
        f'{quoted}The toothy smile and the words, in English "Great, we can go home!", show that she feels happy.',
    )


@pytest.mark.parametrize(
    "clues",
    [
        Clues(tone="The voice is high-pitched, with a wide pitch range", label="neutral"),
        Clues(scene="A man stands.", subtitle="The bus leaves at nine.", label="sad"),
        Clues(expressions=("lip corners pulled up",), label="angry"),
        Clues(expressions=("lip corners pulled up",), label="schadenfreude"),
    ],
)
def test_without_a_ground_there_is_no_text(clues):
    assert answer_grammar(SMALL.prepare(clues)) == ""


def test_one_weak_ground_shows_only_faintly():
    clues = Clues(tone="The voice is loud", label="angry")
    seen = "In the video, a person is seen, and a loud voice is heard."
    assert fits(clues, f"{seen} Only the loud voice suggests faintly that the person feels angry.")
    assert not fits(clues, f"{seen} The loud voice suggests that the person feels angry.")


def test_without_a_label_grounds_and_feeling_agree():
    clues = Clues(**{**vars(SAD), "label": ""})
    seen = "In the video, a person is shown in a close-up, with raised inner brows and lip corners pulled down, and a "
    seen += (
        'quiet voice, a narrow pitch range and a slow pace are heard, while the words are "She left without a word". '
    )
    assert fits(clues, f"{seen}The raised inner brows and the quiet voice show that the person feels sad.")
    assert not fits(clues, f"{seen}The raised inner brows and the quiet voice show that the person feels happy.")


FACES = ("raised cheeks", "lip corners pulled up", "lowered brows", "pressed lips", "widened eyes", "a dropped jaw",
         "raised inner brows", "lip corners pulled down", "a wrinkled nose", "parted lips")  # fmt: skip
VOICES = ("", "The voice is high-pitched and loud, with a wide pitch range and a fast pace; it sounds agitated",
          "The voice is low-pitched and quiet, with a narrow pitch range and a slow pace; it sounds subdued",
          "The voice is medium-pitched and moderately loud, with a normal pitch range; it sounds neutral")  # fmt: skip
SAYINGS = ("", "你真的这么想吗？", "How dare you!", "I am so happy!", "The bus leaves at nine.", "Impossible!")


@settings(max_examples=150, deadline=None)
@given(
    st.builds(
        Clues,
        scene=st.sampled_from(["", "A woman is shown in a close-up, facing the camera."]),
        expressions=st.lists(st.sampled_from(FACES), max_size=4, unique=True).map(tuple),
        tone=st.sampled_from(VOICES),
        subtitle=st.sampled_from(SAYINGS),
        label=st.sampled_from(sorted(labels())),
    ),
    st.data(),
)
def test_every_answer_passes_the_checks_and_argues_only_from_clues_that_bear_on_the_label(given_clues, data):
    clues = SMALL.prepare(given_clues)
    if not answer_grammar(clues):
        return
    text = "In the video," + data.draw(st.from_regex(expression(given_clues), fullmatch=True))
    assert checks.failures(checks.Answer(text, clues, SMALL.fill(clues))) == (), text
    bear = grounds(clues, clues.label)
    argued = text.rsplit(". ", 1)[1]
    for clue in (*FACES, *voice_grounds(given_clues.tone), "words"):
        bare = re.sub("^an? ", "", clue)
        if f" {bare}" in argued:
            assert clue in (*bear.face, *bear.voice, *(["words"] if bear.quotes else [])), text
    assert ("Only" in argued) == bear.faint


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
    if answer_grammar(prepared):
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
        Clues(scene=caption, subtitle="I am sad.", label="sad"),
        f'In the video, {statement}, and the words are "I am sad". The words show that {_who(caption)} feels sad.',
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


def test_people_without_a_visible_face_may_be_told_or_left_out():
    scene = (
        "Two people are visible, one of them without a visible face; the one whose face is visible is shown in a "
        "medium shot, facing the camera."
    )
    clues = Clues(**{**vars(ANGRY), "scene": scene})
    told = ANSWER.replace("the nearest is", "the one whose face is visible is")
    assert fits(clues, told)
    assert fits(clues, told.replace("are visible,", "are visible, one of them without a visible face,"))
    assert not fits(clues, told.replace("two people", "three people"))


@pytest.mark.parametrize(
    ("scene", "several"),
    [
        ("Two people are visible.", True),
        ("A man and a young woman argue at a table.", True),
        ("There is a group of people in an office.", True),
        ("A person with two bags is seen.", False),
        ("Two people are visible; the nearest is shown in a medium shot.", False),  # of the nearest
    ],
)
def test_of_several_people_one_has_the_expressions(scene, several):
    clues = Clues(**{**vars(ANGRY), "scene": scene})
    seen = re.sub(r"; ", ", and ", scene[0].lower() + scene[1:-1])
    end = ANSWER[ANSWER.index(" pressed lips") :]
    assert fits(clues, f"In the video, {seen}, {'one of them ' if several else ''}with{end}")
    assert not fits(clues, f"In the video, {seen}, {'' if several else 'one of them '}with{end}")
