"""The language of an answer: endpoints give a code, or the language's English name (`data/language_names.yaml`)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import yaml

from merrflow_serving.media.languages import language_of


def code_of(language: str) -> str:
    """ISO 639-1; "" for what is neither a known code nor a known name."""
    known = language.strip().lower()
    return _names().get(known) or language_of(known)


@cache
def _names() -> dict[str, str]:
    names: dict[str, str] = yaml.safe_load((files("merrflow_whisper") / "data" / "language_names.yaml").read_text())
    return names
