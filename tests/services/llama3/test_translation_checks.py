"""What is no translation, by form alone; and what must not be taken for nonsense."""

from __future__ import annotations

import random

import pytest

from merrflow_llama3.engines.translations import Translating
from merrflow_llama3.translation import load_translation_prompt
from merrflow_llama3.translation_checks import Attempt, failures, tidied, weight
from merrflow_llama3.types import TranslateItem
from merrflow_serving.answers import Outcome

PROMPT = load_translation_prompt("translate")
FRAME = f"{PROMPT.system}\n{PROMPT.fill('', 'zh')}"
GOOD = [
    ("我不知道该怎么办。", "I don't know what to do."),
    ("对不起,我不能答应你。", "I'm sorry, but I can't promise you that."),
    ("不不不不不", "No, no, no, no, no."),
    ("你走吧!你走吧!", "Just go! Just go!"),
    ("请在5点30分之前打给我,电话是13800138000。", "Please call me before 5:30, the number is 13800138000."),
    ("我给了他3万块。", "I gave him thirty thousand."),
    ("我给了他3万块。", "I gave him 30,000."),
    ("他已经21岁了。", "He is twenty-one already."),
    ("5月1日", "The first of May."),
    ("他得了第3名", "He came in third."),
    ("嗯。", "Mm-hmm."),
    ("Das kostet 1.500 Euro!", "That costs 1,500 euros!"),
    ("ちょっと待って、田中さん。", "Wait a moment, Mr. Tanaka."),
    ("Я тебя люблю, Маша.", "I love you, Masha."),
    ("当然", "Sure: of course."),
    ("我会说英语,用英语怎么说?", "I speak English. How do you say it in English?"),
]
BAD = [
    ("我不知道该怎么办。", "", "empty"),
    ("我不知道该怎么办。", "...", "empty"),
    ("我不知道该怎么办。", "我不知道该怎么办。", "Latin"),
    ("我不知道该怎么办。", "I don't know 该怎么办.", "Latin"),
    ("Je ne sais pas quoi faire.", "Je ne sais pas quoi faire.", "unchanged"),
    ("我不知道该怎么办。", "Je ne sais pas ce que je dois faire dans la vie et pour toi.", "not English"),
    ("我不知道该怎么办。", 'The translation is "I don\'t know what to do".', "speaks of the translation"),
    ("我不知道该怎么办。", "Translation: I don't know what to do.", "speaks of the translation"),
    ("我不知道该怎么办。", "**I don't know what to do.**", "**"),
    ("我不知道该怎么办。", "I'm sorry, but I can't assist with that request.", "declined"),
    ("我不知道该怎么办。", "As an AI, I have no feelings.", "declined"),
    ("我不知道该怎么办。", "Write the translation alone: no introduction, no explanation", "repeats the prompt"),
    (
        "走吧。",
        "Let us go, he said, and he took his coat from the chair and went out into the rain of that night.",
        "come",
    ),
    ("昨天晚上我在医院里等了你整整一夜,你为什么没有来?", "Yes.", "only 3 letters"),
    ("我不知道该怎么办。", "I don't know, I don't know, I don't know", "times in a row"),
    ("我不知道", "no no no no no no", "times in a row"),
    ("我等了你45分钟。", "I waited a long time for you.", "number 45"),
    ("我等了你45分钟。", "I waited 54 minutes for you.", "number 45"),
    ("12345", "Twelve.", "number 12345"),
    ("Ты где?", "at brow \ufffd disgust", "\ufffd"),
]


def found(source: str, text: str, **more) -> str:
    return "; ".join(failures(Attempt(text, source, FRAME, **more)))


@pytest.mark.parametrize(("source", "text"), GOOD)
def test_a_translation_passes(source, text):
    assert found(source, text) == ""


@pytest.mark.parametrize(("source", "text", "why"), BAD)
def test_nonsense_does_not(source, text, why):
    assert why in found(source, text)


def test_what_is_cut_does_not_pass():
    assert found(*GOOD[0], cut=True) == "cut by the token limit"


def test_quotation_marks_around_it_go_if_the_source_has_none():
    assert tidied(' "I do not know."\n', "我不知道。") == "I do not know."
    assert tidied("\u201cI do.\u201d", "我不知道。") == "I do."
    assert tidied('"I do."', "\u201c我知道。\u201d") == '"I do."'
    assert tidied('"Yes", he said, "yes"', "是") == '"Yes", he said, "yes"'
    assert tidied("two\nlines", "x") == "two lines"


def test_every_good_translation_is_refused_once_it_is_spoilt():
    """Property: whatever the good pair, each way of spoiling it is caught, and none of them is an error."""
    draw = random.Random(7)
    ways = {
        "source kept": lambda source, text: f"{text} {source}",
        "talk": lambda source, text: f"Here is the translation: {text}",
        "loop": lambda source, text: " ".join([text] * 30),
        "prompt": lambda source, text: f"{' '.join(PROMPT.system.split()[6:20])} {text}",
        "control": lambda source, text: f"{text}<|eot_id|>",
        "empty": lambda source, text: draw.choice(["", "?!", "- -"]),
        "refusal": lambda source, text: "I cannot translate this. " + text,
        "number": lambda source, text: text.translate({ord(digit): "" for digit in "0123456789"}).replace("May", ""),
    }
    for source, text in GOOD[:-1]:
        for name, spoil in ways.items():
            spoilt = spoil(source, text)
            if spoilt != text and not (name == "source kept" and source.isascii()):
                assert failures(Attempt(spoilt, source, FRAME)), (name, source, spoilt)


def test_no_text_breaks_the_checks_or_takes_long():
    draw = random.Random(11)
    pieces = [
        "我",
        "の",
        "no ",
        "3",
        "万",
        ".",
        ",",
        ":",
        '"',
        "<|",
        "\u0e01",
        "\U0001f600",
        "ß",
        "9" * 400,
        "²",
        "½",
        "月",
    ]
    for _ in range(500):
        one, other = ("".join(draw.choices(pieces, k=draw.randrange(40))) for _ in range(2))
        for reason in failures(Attempt(one, other, FRAME)):
            assert reason and "\n" not in reason
    failures(Attempt("no " * 20_000, "我" * 20_000, FRAME))
    failures(Attempt("1,1" * 10_000, "1:1" * 10_000, FRAME))


def test_the_weight_of_a_source_is_that_of_its_english():
    assert weight("I know!") == 5
    assert 20 < weight("我不知道该怎么办。") < 30


@pytest.mark.parametrize(
    ("answer", "cut", "outcome"),
    [
        ("How are you today?", False, Outcome.DONE),
        ("你今天好吗？", False, Outcome.REJECTED),  # it is not declined, only no translation
        ("How are you", True, Outcome.TRUNCATED),
        ("As an AI, I cannot translate this.", False, Outcome.REFUSED),
    ],
)
def test_the_outcome_says_whether_the_model_declined_or_the_checks_did(answer, cut, outcome):
    translating = Translating(TranslateItem("你今天好吗？", "zh"), load_translation_prompt("translate"), 1, ())
    assert translating.is_done(answer, cut=cut, prompt_tokens=1, answer_tokens=1)
    assert translating.result().outcome is outcome
