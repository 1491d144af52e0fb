"""The terminal as merrflow writes to it: names, reasons and texts of models are shown, never obeyed."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.errors import MarkupError
from rich.text import Text

_LAYOUT = "\n\t"


def printable(text: str) -> str:
    """`text` with U+FFFD for what a terminal would obey: escape sequences, control characters, direction marks."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in _LAYOUT else "\ufffd" for one in text)


def json_text(value: Any) -> str:
    """JSON for people and programs: what a terminal would obey is written as \\uXXXX, which reads back unchanged."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


class SafeConsole(Console):
    """A `rich` console for text that others wrote. What looks like markup but is not is shown as it is."""

    def render_str(self, text: str, **options: Any) -> Text:
        text = printable(text)
        try:
            return super().render_str(text, **options)
        except MarkupError:
            return super().render_str(text, **{**options, "markup": False})


def output_console() -> SafeConsole:
    """For standard output. If that is not a terminal, lines have up to 160 characters."""
    return SafeConsole(highlight=False, width=None if sys.stdout.isatty() else 160)


def error_console() -> SafeConsole:
    """For standard error."""
    return SafeConsole(stderr=True, highlight=False)
