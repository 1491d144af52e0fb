"""What an answer may speak of, and what it must: each check with what it finds and what it lets pass."""

from __future__ import annotations

import pytest

from merrflow_llama3 import checks
from merrflow_llama3.checks import Answer
from merrflow_llama3.prompt import load_prompt
from merrflow_llama3.things import stems, things
from merrflow_llama3.types import Clues
from tests.services.llama3.good_texts import GOOD

DESK = Clues(
    scene="A waiter sits at a desk.",
    expressions=("lowered brows", "pressed lips"),
    tone="The voice is loud",
    subtitle="Who told you to touch my keys?",
    label="angry",
)


@pytest.mark.parametrize(("clues", "text"), GOOD, ids=lambda value: value.label if isinstance(value, Clues) else "")
def test_good_texts_pass(clues, text):
    prompt = load_prompt("grounded")
    prepared = prompt.prepare(clues)
    assert checks.failures(Answer(text, prepared, prompt.fill(prepared))) == ()


@pytest.mark.parametrize(
    "text",
    [
        "A policeman comes in.",
        "The person slams a fist on it.",
        "He punches the wall.",
        "Applause is heard.",
        "There is a vase beside the person.",
        "An explosion follows.",
    ],
)
def test_a_thing_that_no_clue_names(text):
    assert "is in no clue" in (checks.thing(Answer(text, DESK, "")) or "")


@pytest.mark.parametrize(
    "text",
    [
        "The waiter at the desk is loud.",
        "The worker sits there.",  # more general than "waiter"
        "There is no knife.",
        'She says "Give me the knife".',  # other checks judge quotations
        "The person speaks of a key.",
        "This triggers an outburst, and the pressed lips are tense.",
    ],
)
def test_a_thing_that_a_clue_names_or_that_every_text_may_have(text):
    assert checks.thing(Answer(text, DESK, "")) is None


def test_what_is_said_in_an_unknown_language_may_be_told():
    clues = Clues(scene="A person sits.", subtitle="你把刀放在哪里了？")
    assert checks.thing(Answer("The words ask about a knife.", clues, "")) is None
    assert checks.thing(Answer("A knife is seen.", clues, "")) is not None


def test_a_woman_where_the_clues_speak_of_a_man():
    man = Clues(scene="A man sits.", tone="his tone sounds sad")
    assert checks.sex(Answer("The woman is sad.", man, "")) is not None
    assert checks.sex(Answer("The man is sad, and he cries.", man, "")) is None
    assert checks.sex(Answer("The woman is sad.", Clues(scene="A person sits."), "")) is None


@pytest.mark.parametrize(
    ("text", "ignored"),
    [
        ('The lowered brows, the loud voice and "touch my keys" show it.', ""),
        ('The loud voice and "touch my keys" show it.', "face"),
        ('The lowered brows and "touch my keys" show it.', "voice"),
        ("The lowered brows and the loud voice show it.", "words"),
    ],
)
def test_a_clue_that_is_passed_over(text, ignored):
    found = checks.ignored(Answer(text, DESK, ""))
    assert found == (f"nothing of the {ignored} is taken up" if ignored else None)


def test_words_that_are_the_argument_must_be_given_and_others_mentioned():
    bear = Clues(subtitle="Who gave you permission, you liar?", label="angry")
    plain = Clues(subtitle="The meeting is tomorrow at nine.", label="angry")
    assert checks.ignored(Answer("The person asks something.", bear, "")) is not None
    assert checks.ignored(Answer("The person asks something.", plain, "")) is None


def test_a_label_copied_from_a_clue_names_nothing():
    clues = Clues(tone="speaks with an angry tone", label="angry")
    assert checks.label(Answer("The person speaks with an angry tone.", clues, "")) is not None
    assert checks.label(Answer("The angry tone shows that the person feels angry.", clues, "")) is None


def test_a_contradicting_expression_may_be_weighed():
    clues = Clues(expressions=("lowered brows",), other_expressions=("lip corners pulled up",), label="angry")
    text = "The brows are lowered, although the person smiles, which weighs less. The person is angry."
    assert checks.face(Answer(text, clues, "")) is None
    assert checks.face(Answer(text, Clues(expressions=("lowered brows",), label="angry"), "")) is not None


@pytest.mark.parametrize(
    ("given", "repaired"),
    [
        ("- It is so.", "It is so."),
        ("1. It is so.", "It is so."),
        ("**It** is so.", "It is so."),
        ('"It is so."', "It is so."),
        ("It is so.\n\nAnd so.", "It is so. And so."),
        ('"Yes" and "no".', '"Yes" and "no".'),
        ("- One.\n- Two.", "- One.\n- Two."),
        ("", ""),
    ],
)
def test_form_that_does_no_harm_is_repaired(given, repaired):
    assert checks.repaired(given) == repaired


def test_words_before_a_colon_are_an_echo_only_at_the_beginning_of_a_sentence():
    assert checks.echo(Answer("Words: she is sad.", Clues(), "")) is not None
    assert checks.echo(Answer('She says the words: "no".', Clues(), "")) is None


@pytest.mark.parametrize(
    ("form", "stem"), [("slammed", "slam"), ("waiters", "waiter"), ("parties", "party"), ("hugging", "hug")]
)
def test_word_forms(form, stem):
    assert stem in stems(form)


def test_the_things_of_the_package():
    assert {"waiter", "knife", "dog", "slam", "thunder"} <= set(things().meanings)
    assert not {"tension", "relief", "emotion", "sadness", "expression"} & set(things().meanings)
