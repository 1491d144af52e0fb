"""Post-checks: what counts as a usable answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merrflow_llama3 import checks
from merrflow_llama3.checks import Answer
from merrflow_llama3.types import Clues
from tests.services.llama3.clue_sets import ANGRY

GOOD = (
    'In the video, a person is shown in a medium shot with lowered brows, and the voice is loud. The question "Who '
    'told you to touch my desk?" sounds like an accusation. The lowered brows and the loud voice show that the person '
    "feels angry."
)
QUESTION = "Please sort out the correct emotional clues and infer why the person in the video feels angry."


def failures(text: str, clues: Clues = ANGRY, *, cut: bool = False, question: str = QUESTION) -> tuple[str, ...]:
    return checks.failures(Answer(text, clues, question, cut))


def test_a_good_answer_passes():
    assert failures(GOOD) == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("I'm sorry, I cannot provide a description of a person who may be in danger or who is angry.", "declined"),
        ("I’m sorry, but I can’t help to describe what an angry person in this video may feel or do.", "declined"),
        ("As an AI language model, I do not have feelings and cannot tell why this person is angry.", "declined"),
        ("Hello! I cannot provide a response that may promote violence or an angry mood in any person.", "declined"),
        (GOOD.removesuffix(" angry."), "not complete"),
        ("The person is angry.", "only 4 words"),
        (GOOD + " " + " ".join(f"Then word{chr(97 + n)} is said aloud." for n in range(20)), "words"),
        ("这个人很生气因为他的声音很大而且他的眉毛很低所以我们认为他很生气。angry " * 2 + ".", "Latin"),
        (GOOD + " The person feels angry. The person feels angry.", "twice"),
        (GOOD.replace("lowered brows and the loud", "loud voice and the loud"), "loud voice and the"),
        (GOOD.replace("and the voice is loud", "and the voice is loud Emotion: angry"), "of the prompt"),
        (GOOD.replace("angry", "unwell"), 'does not name "angry"'),
        (GOOD.replace("a person is", "a friend of Sarah is"), '"Sarah" is in no clue'),
        (GOOD.replace("touch my desk?", "sell my car?"), "is in no clue"),
        (GOOD.replace("a person is", "a person of 42 is"), '"42" is in no clue'),
    ],
)  # fmt: skip
def test_a_bad_answer_is_told_why(text, reason):
    found = failures(text)
    assert any(reason in failure for failure in found), found


def test_quoting_a_refusal_is_no_refusal():
    clues = Clues(subtitle="I'm sorry, I cannot come.", label="sad")
    text = (
        'In the video, a person speaks quietly. The words "I\'m sorry, I cannot come." suggest regret, and the person '
        "feels sad about it."
    )
    assert failures(text, clues) == ()


def test_an_expression_may_be_seen_and_be_the_ground():
    brows = "inner brows lifted towards the middle"
    text = (
        f"In the video, a person is shown with {brows}, and the voice is quiet. The {brows} and the voice show that "
        "the person feels sad."
    )
    assert failures(text, Clues(expressions=(brows,), tone="The voice is quiet.", label="sad")) == ()
    assert any("twice" in failure for failure in failures(text, Clues(tone="The voice is quiet.", label="sad")))


def test_echo_of_the_question():
    echoed = "Please sort out the correct emotional clues and infer why the person in the video feels angry, she said."
    assert any("prompt" in failure or "question" in failure for failure in failures(echoed))
    own = "consider with great care everything that was seen and heard in this clip of an angry person."
    assert "repeats the question" in failures(f"We consider it: {own}", question=f"Now {own}")


def test_cut_by_the_limit_counts_even_at_a_full_stop():
    assert failures(GOOD, cut=True) == ("cut by the token limit",)


def test_without_a_label_some_feeling_must_be_named():
    clues = Clues(scene="a person")
    assert failures(GOOD.replace("angry", "well"), clues) != ()
    assert not any("names no feeling" in failure for failure in failures(GOOD, clues))


@given(st.text(max_size=300))
def test_checks_never_raise_and_always_say_why(text):
    for clues in (ANGRY, Clues(subtitle=text[:40], label=text[:5])):
        for reason in checks.failures(Answer(text, clues, text[::-1])):
            assert reason.strip()


@given(st.lists(st.sampled_from(["One man sits.", "It is cold!", 'She asks "Why? Now!" twice.', "Is it?"]), max_size=6))
def test_sentences_are_found_again(parts):
    assert checks.sentences(" ".join(parts)) == parts


@given(st.integers(1, len(GOOD) - 1))
def test_any_cut_of_a_good_answer_fails(length):
    assert failures(GOOD[:length]) != ()


@given(st.sampled_from(GOOD.split(". ")))
def test_any_sentence_said_twice_fails(sentence):
    assert "a sentence comes twice" in failures(f"{GOOD} {sentence.rstrip('.')}. {sentence.rstrip('.')}.")


@pytest.mark.parametrize("text", ["- " + GOOD, "1. " + GOOD, GOOD.replace(". The", ".\n\nThe"), "**" + GOOD + "**"])
def test_a_list_a_line_break_or_emphasis_is_no_paragraph(text):
    assert any("plain paragraph" in failure for failure in failures(text))


@pytest.mark.parametrize(
    "said", ["she asks again and again", "the underlying emotion: he is loud", "the words are “你真的这么想吗？”"]
)
def test_good_english_is_not_refused(said):
    clues = Clues(tone=ANGRY.tone, subtitle="你真的这么想吗？", label="angry")
    text = f"In the video, {said}, and the voice is loud. The loud voice shows that the person feels angry."
    assert failures(text, clues) == ()


@pytest.mark.parametrize(
    "said", ["The established emotion is angry.", "This is based on the information you provided."]
)
def test_the_grounded_prompts_own_phrases_are_an_echo(said):
    assert any("of the prompt" in failure for failure in failures(f"{GOOD} {said}"))
