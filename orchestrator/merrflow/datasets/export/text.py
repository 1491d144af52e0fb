"""Text of models, files and people made safe for where it goes. None of it is trusted."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

from pydantic import field_validator

from merrflow.core.datafile import Strict, read

CELL = 32_767  # UTF-16 units: what a cell of Excel holds (Microsoft, "Excel specifications and limits")
_FORMULA = tuple("=+-@\t\r＝＋－＠")  # OWASP, "CSV Injection"
_LONE = re.compile("[\ud800-\udfff]")
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)?|[.,]\d+)")


class _Tokens(Strict):
    """See tokens.yaml."""

    version: str
    patterns: tuple[str, ...]

    @field_validator("patterns")
    @classmethod
    def _compile(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
        return patterns


def clean(text: str) -> str:
    """`text` as valid Unicode: a lone surrogate, which no file in UTF-8 can hold, becomes U+FFFD."""
    return _LONE.sub("\ufffd", text)


def clean_all(value: Any) -> Any:
    """The same for every text within lists, tuples and dicts."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean_all(key): clean_all(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [clean_all(item) for item in value]
    return value


def one_line(text: str) -> str:
    """Valid Unicode without line breaks and control characters; a run of them and of blanks becomes one blank."""
    return _BREAKS.sub(" ", clean(text)).strip()


def trainable(text: str) -> str:
    """Valid Unicode in which nothing is a control token; see tokens.yaml. Other text stays as it is."""
    text = clean(text)
    before = None
    while before != text:
        before, text = text, _tokens().sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)
    return text


def cell(text: str) -> tuple[str, bool]:
    """`text` for one cell of a spreadsheet, and whether it had to be cut.

    One line; what a spreadsheet would run as a formula gets an apostrophe before it (OWASP, "CSV Injection");
    a plain number stays one.
    """
    text = one_line(text)
    if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        text = f"'{text}"
    units = text.encode("utf-16-le")
    if len(units) <= 2 * CELL:
        return text, False
    return units[: 2 * CELL - 2].decode("utf-16-le", errors="ignore") + "…", True


@cache
def _tokens() -> re.Pattern[str]:
    patterns = read(files("merrflow.datasets.export") / "tokens.yaml", _Tokens).patterns
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)
