"""Codes of languages, as they are in the names of files, in tracks and in settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from merrflow.core.datafile import Strict, read

_TAG = re.compile(r"([a-z]{2,3})(?:[-_][a-z0-9_-]{1,20})?", re.IGNORECASE)
_NO_LANGUAGE = ("und", "mul", "mis", "zxx")


class _Languages(Strict):
    version: int
    codes: Mapping[str, str]


@cache
def _short() -> Mapping[str, str]:
    """Of every known code the shortest."""
    codes = read(Path(__file__).with_name("languages.yaml"), _Languages).codes
    return {code: short for short, long in codes.items() for code in (short, *long.split())}


def language_code(tag: str) -> str:
    """The ISO 639-1 code of a tag such as "eng", "chi", "zh-Hans" or "pt_BR"; of three letters if it has no shorter.

    "" if the tag names no language.
    """
    match = _TAG.fullmatch(tag.strip())
    if not match:
        return ""
    code = match[1].lower()
    return _short().get(code, "" if len(code) == 2 or code in _NO_LANGUAGE else code)
