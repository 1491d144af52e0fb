"""`data/translation.yaml` as types."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from pydantic import ValidationError

from merrflow_llama3.check_rules import Words
from merrflow_llama3.datafiles import read_data
from merrflow_serving.errors import NotReady
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
    try:
        return TranslationRules.model_validate(read_data("translation"))
    except ValidationError as error:
        first = error.errors()[0]
        raise NotReady(f"data/translation.yaml: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
