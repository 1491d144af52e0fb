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
    # The whole sentence tells what is said, not only its first clause.
    assert checks.thing(Answer("The person exclaims 「你把刀」, having missed the knife.", clues, "")) is None
    assert checks.thing(Answer("The person exclaims. A knife is seen.", clues, "")) is not None


def test_words_of_the_clip_may_stand_in_their_own_script_without_quotation_marks():
    clues = Clues(subtitle="糟了我手机钱包都在包里呢")
    text = "The person says that the phone and the wallet are in the bag (糟了我手机钱包都在包里呢), which worries."
    assert checks.english(Answer(text, clues, "")) is None
    assert checks.english(Answer(text, Clues(subtitle="您真这么认为啊"), "")) is not None


def test_a_noun_is_no_thing_as_a_verb():
    assert checks.thing(Answer("Coupled with the loud voice, this is handed on.", DESK, "")) is None
    assert checks.thing(Answer("A couple waits.", DESK, "")) is not None
    assert checks.thing(Answer("The person screamed.", DESK, "")) is not None


HIGH = Clues(tone="The voice is high-pitched, with a narrow pitch range; the pitch rises at the end")


@pytest.mark.parametrize(
    ("text", "ignored"),
    [
        ("The brows are lowered.", True),
        ("The voice rises at the end of the question.", False),
        ("The voice is controlled.", False),  # in words that the rules do not know
        ("The slow voice is heard.", True),  # what is said of it is another voice's
    ],
)
def test_a_voice_is_taken_up_in_any_words_but_those_of_another_voice(text, ignored):
    assert (checks.ignored(Answer(text, HIGH, "")) is not None) is ignored


def test_a_prompt_that_does_not_ask_for_every_clue_may_get_some():
    prompt = load_prompt("merr")
    assert (prompt.every_clue, load_prompt("grounded").every_clue) == (False, True)
    assert checks.ignored(Answer("The person is angry.", DESK, "", every_clue=False)) is None
    assert checks.ignored(Answer("The person is angry.", DESK, "")) is not None


@pytest.mark.parametrize("text", ["As an AI, I cannot see it.", "It may be, but as an AI I see no video."])
def test_a_model_does_not_speak_of_itself(text):
    assert checks.echo(Answer(text, DESK, "")) is not None


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
