"""Checks of an answer against its own clues: each with what must be found and what must pass."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merrflow_llama3 import checks
from merrflow_llama3.check_rules import check_rules, pattern
from merrflow_llama3.checks import Answer
from merrflow_llama3.language import foreign_sentence
from merrflow_llama3.lexicon import labels
from merrflow_llama3.types import Clues

LOW = "The voice is low-pitched and quiet, with a slow pace; it sounds subdued"
LIVELY = "The voice is high-pitched and loud, with a fast pace; it sounds agitated or excited"


def _voice(text: str, tone: str) -> str | None:
    return checks.voice(Answer(text, Clues(tone=tone), ""))


@pytest.mark.parametrize(
    ("text", "tone"),
    [
        ("The high pitch of her voice shows that she feels sad.", LOW),
        ("Her high-pitched cry is heard.", LOW),
        ("Her voice, loud and clear, fills the room, and the loud voice shows anger.", LOW),
        ("He speaks loudly.", LOW),
        ("He is shouting at someone.", LOW),
        ("The person talks at a fast pace.", LOW),
        ("The voice is tense and fast.", LOW),
        ("A deep voice is heard.", LIVELY),
        ("The person speaks very softly.", LIVELY),
        ("The quiet voice shows it.", LIVELY),
        ("The slow pace of the speech shows it.", LIVELY),
        ("His voice is calm.", LIVELY),
        ("His voice trembles, and the trembling voice shows fear.", "The voice is steady"),
        ("He screams at her.", "The voice is medium-pitched and moderately loud"),
        ("The voice is monotone.", "The voice is loud; it sounds rather lively"),
        ("Her positive tone shows that she feels happy.", "her tone sounds negative"),
    ],
)
def test_a_quality_that_the_tone_denies(text, tone):
    assert "against the voice clue" in (_voice(text, tone) or "")


@pytest.mark.parametrize(
    ("text", "tone"),
    [
        ("The low-pitched and quiet voice shows it.", LOW),
        ("The voice is not loud.", LOW),
        ("The voice is quiet rather than loud.", LOW),
        ("Without a loud voice, the person feels sad.", LOW),
        ("He holds his head high and walks fast.", LOW),  # not of the voice
        ("The person moves fast, and the voice is quiet.", LOW),
        ('She says "You are too loud in a high voice", and feels sad.', LOW),  # her words
        ("The voice is loud.", "The voice is moderately quiet"),
        ("The loud voice shows it.", "The voice is first quiet, then loud"),  # the clue has both
        ("The voice is calm.", "speaks in a normal tone"),
        ("The loud voice shows it.", ""),
    ],
)
def test_a_quality_that_the_tone_does_not_deny(text, tone):
    assert _voice(text, tone) is None


def _face(text: str, clues: Clues) -> str | None:
    return checks.face(Answer(text, clues, ""))


BROWS = Clues(expressions=("lowered brows", "pressed lips"), tone="The voice is loud")


@pytest.mark.parametrize(
    "text",
    [
        "The woman is smiling at the camera.",
        "A faint smile shows that she feels angry.",
        "The wide eyes show it.",
        "She looks on wide-eyed.",
        "There are tears on the cheeks.",
        "The man is crying.",
    ],
)
def test_an_expression_that_no_clue_tells(text):
    assert "is told by no clue" in (_face(text, BROWS) or "")


@pytest.mark.parametrize(
    ("text", "clues"),
    [
        ("The person is frowning.", BROWS),
        ("The person is not smiling.", BROWS),
        ("There is no smile on the face.", BROWS),
        ("She stares without tears.", BROWS),
        ('She asks "Why are you smiling?" in a loud voice.', BROWS),
        ("She is smiling.", Clues(expressions=("lip corners pulled up",))),
        ("She is smiling.", Clues(expressions=("Lip Corner Puller",))),
        ("She is smiling.", Clues(scene="A smiling woman sits on a bench.")),
        ("The wide eyes show it.", Clues(expressions=("Upper Lid Raiser",))),
        ("The widened eyes show it.", Clues(expressions=("raised upper eyelids",))),
        ("She is in tears.", Clues(tone="it sounds as if the person were crying")),
    ],
)
def test_an_expression_that_a_clue_tells_or_the_text_denies(text, clues):
    assert _face(text, clues) is None


def _feeling(text: str, label: str) -> str | None:
    return checks.feeling(Answer(text, Clues(label=label), ""))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("All of it shows that the person feels happy.", "sad"),
        ("This suggests that she is likely feeling very angry.", "happy"),
        ("He is experiencing a deep sense of joy.", "angry"),
        ("The person's emotional state is neutral.", "angry"),
        ("Her mood is cheerful.", "worried"),
        ("The sad words are heard. The man feels amused.", "sad"),
        ("The person feels sad.", "joy"),
    ],
)
def test_another_feeling_than_the_label(text, label):
    assert f'where the label is "{label}"' in (_feeling(text, label) or "")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The person feels angry.", "angry"),
        ("The person feels furious.", "angry"),
        ("The person is not feeling angry.", "sad"),
        ("She might be said to feel happy, but the voice is sad.", "sad"),
        ("At first he feels happy.", "sad"),
        ("The person feels a mix of anger and grief.", "sad"),
        ("She feels happy and also sad.", "sad"),  # the record's own is named beside it
        ("The fearful tone shows unease.", "angry"),  # of the voice, not of the person
        ('She says "he feels happy" in tears.', "sad"),
        ("The person feels disgusted.", "angry"),  # near
        ("The person feels joyful.", "joy"),
        ("The person feels happy.", ""),
        ("The person feels jealous.", "jealous"),
    ],
)
def test_a_feeling_that_agrees_or_is_not_claimed(text, label):
    assert _feeling(text, label) is None


@pytest.mark.parametrize(
    ("text", "label", "found"),
    [
        ("The person does not feel angry.", "angry", True),
        ("She isn't surprised at all.", "surprise", True),
        ("Anger drives this outburst.", "surprise", True),
        ("Anger drives this outburst.", "contempt", False),  # near
        ("The person does not feel happy.", "angry", False),
        ("The person feels angry.", "angry", False),
        ("The person is devastated rather than happy.", "happy", True),
        ("The smile is anything but happy.", "happy", True),
        ("The person is happy rather than surprised.", "happy", False),
    ],
)
def test_a_label_denied_or_another_feeling_as_the_cause(text, label, found):
    assert (checks.negated(Answer(text, Clues(label=label), "")) is not None) is found


def _english(text: str) -> str | None:
    return checks.english(Answer(text, Clues(), ""))


@pytest.mark.parametrize(
    "text",
    [
        "Im Video zeigt die Person ein breites Lächeln, und ihre Stimme klingt fröhlich.",
        "Im Video zieht die Person die Brauen zusammen, was darauf hindeutet, dass sie zornig ist.",
        "Dans la vidéo, une femme sourit et sa voix est joyeuse, ce qui suggère que la personne est heureuse.",
        "En el video, una persona sonríe y su voz suena alegre, lo que indica que la persona está feliz.",
        "Nel video, la persona sorride e la sua voce è allegra, il che indica che è felice.",
        "No vídeo, a pessoa sorri e a sua voz é alegre, o que indica que ela está feliz.",
        "In de video lacht de persoon en haar stem klinkt vrolijk, wat laat zien dat zij blij is.",
        "Videoda bir kadın gülümsüyor ve sesi çok neşeli geliyor, bu da onun mutlu olduğunu gösteriyor.",
        "In the video, the person smiles. Das zeigt, dass die Frau sich sehr über den Besuch freut.",
        "视频中的人很高兴，因为她在微笑，而且声音很欢快。",
    ],
)
def test_another_language(text):
    assert _english(text) is not None


@pytest.mark.parametrize(
    "text",
    [
        "In the video, a man sits at a table in a room, with lowered brows and pressed lips.",
        "In the video, a man in a uniform stands in a formal setting, displaying a serious expression.",
        'She says, "Ich weiß nicht, was das ist und wie es geht", and the words show doubt.',
        "A café owner named José smiles.",
        "Loud voice, lowered brows.",
    ],
)
def test_english(text):
    assert _english(text) is None


def test_a_run_on_sentence():
    words = " ".join(["and then it goes on"] * 13)
    assert checks.run_on(Answer(f"It begins. The person speaks {words}.", Clues(), "")) == "a sentence of 68 words"
    assert checks.run_on(Answer(f'It begins. The person says "{words}".', Clues(), "")) is None


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("smil*", "Smiling", "Smiling"),
        ("low pitch", "a low-pitch voice", "low-pitch"),
        ("eyes * wide", "eyes are wide", "eyes are wide"),
        ("low", "slow", None),
        ("low", "low-pitched", None),
        ("a.c", "abc", None),
    ],
)
def test_phrases_of_the_rules(phrase, text, found):
    match = pattern((phrase,)).search(text)
    assert (match.group(0) if match else None) == found


def test_no_phrases_match_nothing():
    assert not pattern(()).search("anything")


def test_the_rules_agree_with_themselves():
    for quality in check_rules().voice:  # a quality whose own words deny it could never be held
        for phrase in quality.says + quality.alone:
            assert not pattern(quality.against).fullmatch(phrase), (quality.quality, phrase)
    for label, feelings in check_rules().feeling.words.items():
        others = {word for other, told in check_rules().feeling.words.items() if other != label for word in told}
        assert not others & set(feelings), label
    for label, near in check_rules().feeling.near.items():
        assert label not in near


@given(st.sampled_from(sorted(labels())), st.data())
def test_every_feeling_word_is_caught_for_every_distant_label(label, data):
    told = check_rules().feeling
    other = data.draw(st.sampled_from([name for name in told.words if name not in (label, *told.near[label])]))
    word = data.draw(st.sampled_from(told.words[other]))
    text = f"In the video, a person is seen. The person is feeling {word}."
    near = {word for name in (label, *told.near[label]) for word in told.words[name]}
    assert (_feeling(text, label) is not None) == (word not in near)


@given(st.text(alphabet=st.sampled_from("ab ,.-'\"*("), max_size=80))
def test_checks_take_any_text(text):
    clues = Clues(scene=text, expressions=(text,), tone=text, label="sad")
    for check in (checks.voice, checks.face, checks.feeling, checks.english, checks.run_on):
        result = check(Answer(text, clues, text))
        assert result is None or re.search(r"\w", result)
    assert foreign_sentence([]) is None
