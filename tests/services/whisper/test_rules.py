"""Which segments are believed."""

from __future__ import annotations

import math

import pytest

from merrflow_serving.errors import NotReady
from merrflow_whisper import Segment
from merrflow_whisper.rules import load_rules
from tests.paths import ROOT

RULES = load_rules()


def segment(text: str, log_probability: float = -0.3, no_speech: float | None = 0.05) -> Segment:
    return Segment(0.0, 1.0, text, math.exp(log_probability), no_speech)


def judged(*segments: Segment, language: str = "en", probability: float = 0.99, given: bool = False):
    return RULES.transcript(segments, language, probability, given=given)


def test_believed_segments_make_the_text():
    found = judged(segment(" Come in. "), segment("What now?"))
    assert (found.text, found.reason) == ("Come in. What now?", "")


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (segment("mumble", -0.81), "the words are not certain (average log probability -0.81)"),
        (segment("Hello", -0.6, 0.7), "probably nobody speaks (0.70)"),
        (segment("Thanks for watching!"), "words that the model is known to invent over silence or music"),
        (segment("  Subtitles by the Amara.org community "), "words that the model is known to invent"),
        (segment("请不吝点赞 订阅 转发 打赏支持明镜与点点栏目"), "words that the model is known to invent"),
        (segment("..."), "no words"),
        (segment("We " + "got " * 60), "words that repeat themselves without end"),
        (segment("我们 " + "得到 " * 60), "words that repeat themselves without end"),
    ],
)
def test_what_is_not_believed(one, reason):
    found = judged(one, segment("Come in."))
    assert found.text == "Come in." and found.segments[0].rejected.startswith(reason)
    assert judged(one).reason.startswith(reason)


@pytest.mark.parametrize("text", ["Ha ha ha ha ha ha ha ha ha ha!", "No, no, no, no, no! " * 3, "Come in."])
def test_a_laugh_and_a_repeated_word_are_believed(text):
    assert judged(segment(text)).text == text.strip()


def test_a_long_text_is_not_taken_for_one_that_repeats_itself():
    text = (ROOT / "LICENSE").read_text()
    assert not judged(segment(text)).segments[0].rejected


def test_an_echo_of_the_prompt_is_not_speech():
    prompt = RULES.language("zh").prompt
    assert judged(segment(prompt), language="zh").reason == "an echo of the prompt"
    assert judged(segment("你好，我是普通人。"), language="zh").text
    assert judged(segment(prompt), language="en").text  # which no prompt was given for


def test_the_language_counts_only_if_the_model_found_it():
    assert judged(segment("Come in."), probability=0.5).reason == "the language is not certain (en at 0.50)"
    found = judged(segment("Come in."), probability=0.5, given=True)
    assert found.text == "Come in." and found.language_probability == 1.0


def test_no_segments():
    assert judged().reason == "nobody speaks"


def test_rules_of_the_users_own(tmp_path):
    packaged = load_rules()
    file = tmp_path / "own.yaml"
    file.write_text("version: 1\nreject: {}\n")
    with pytest.raises(NotReady, match=r"own\.yaml: decode: Field required"):
        load_rules(str(file))
    file.write_text("- 1\n")
    with pytest.raises(NotReady, match=r"own\.yaml"):
        load_rules(str(file))
    with pytest.raises(NotReady, match="missing"):
        load_rules(str(tmp_path / "missing.yaml"))
    assert packaged.digest
