"""`data/content.yaml` as types."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from merrflow_llama3.check_rules import Words
from merrflow_llama3.datafiles import read_as
from merrflow_serving.prompt_files import Strict


class ContentRules(Strict):
    """The whole file."""

    version: str
    allowed: str  # words, separated by spaces
    also: str
    acts: str
    irregular: Mapping[str, str]
    women: Words
    men: Words
    speech: Words
    parts: tuple[Words, ...]
    common: str


@cache
def content_rules() -> ContentRules:
    """The rules, read once. Raises `NotReady` that names the wrong entry."""
    return read_as("content", ContentRules)


@cache
def word_set(name: str) -> frozenset[str]:
    """One of the lists of words: "allowed", "also", "acts", "common"."""
    return frozenset(getattr(content_rules(), name).split())
