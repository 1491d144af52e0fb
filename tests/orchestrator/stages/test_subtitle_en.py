"""Which subtitles are translated, and what the stages after it are given."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from merrflow.core.spoken import Subtitle, Translation
from merrflow.stages.subtitle_en import STAGE, cannot_translate, in_english

ABLE = {"engine": "vllm", "model": "m", "translation_prompt_version": "translate@1"}


def work(**engine: str) -> SimpleNamespace:
    return SimpleNamespace(run=SimpleNamespace(identities={"llama3": engine}))


@pytest.mark.parametrize(
    ("text", "language", "asked"),
    [
        ("我不知道。", "zh", True),
        ("Nie wiem.", "", True),  # of a language that is not known
        ("I do not know.", "en", False),
        ("12:30 ...", "", False),
        (None, "", False),
    ],
)
def test_only_words_that_are_not_english_are_sent(text, language, asked):
    found = STAGE.without(work(**ABLE), Subtitle(text, "table", language, ""))
    assert (found is None) == asked and (asked or found.reason == "")


def test_an_engine_that_does_not_translate_is_a_reason():
    assert cannot_translate({"llama3": ABLE}) == ""
    found = STAGE.without(work(engine="llamacpp", model="Small"), Subtitle("我不知道。", "table", "zh", ""))
    assert "Small (engine llamacpp of llama3) does not translate" in found.reason


def test_english_if_there_is_any():
    said = Subtitle("我不知道。", "srt", "zh", "why", 0.5)
    assert in_english(said, None) is said
    assert in_english(said, Translation("", "zh", 3)) is said
    assert in_english(said, Translation("I do not know.", "zh")) == Subtitle("I do not know.", "srt", "en", "why", 0.5)
