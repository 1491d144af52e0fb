"""`data/translation.yaml` as types."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from merrflow_llama3.check_rules import Words
from merrflow_llama3.datafiles import read_as
from merrflow_serving.prompt_files import Strict


class Weights(Strict):
    """What one letter of a source comes to in English letters."""

    han: float
    kana: float
    hangul: float
    other: float


class TranslationRules(Strict):
    """The whole file."""

    version: str
    min_latin_share: float
    weights: Weights
    most_letters: float
    least_letters: float
    spare: int
    short: float
    few_words: int
    most_repeats: int
    prompt_words: int
    refusals: Words
    talk: Words
    starts: Words
    marks: Words
    units: Mapping[str, int]
    ones: Words
    tens: Words
    ordinals: Words
    months: Words
    month_marks: str


@cache
def translation_rules() -> TranslationRules:
    """The rules, read once. Raises `NotReady` that names the wrong entry."""
    return read_as("translation", TranslationRules)
