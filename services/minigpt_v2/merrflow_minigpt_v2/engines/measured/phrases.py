"""`phrases.yaml`: the words and thresholds of the rule-based descriptions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NotRequired, TypedDict

import yaml

PHRASES = Path(__file__).with_name("phrases.yaml")


class Step(TypedDict):
    """One entry of a scale; the last has no `below`."""

    words: str
    below: NotRequired[float]


class Phrases(TypedDict):
    """The whole file; the comments there explain each entry."""

    version: str
    shot: list[Step]
    place: list[Step]
    persons: dict[str, float]
    head: dict[str, float]
    gaze: dict[str, float]
    hands: dict[str, float]
    light: list[Step]
    low_key: dict[str, float]
    high_key: dict[str, float]
    contrast: dict[str, float]
    back_light: float
    warmth: list[Step]
    chroma: dict[str, float]
    camera: dict[str, float]
    person: dict[str, float]
    text: dict[str, float]
    too_small: int
    black: float


@cache
def phrases() -> Phrases:
    """The content of `phrases.yaml`."""
    content: Phrases = yaml.safe_load(PHRASES.read_text(encoding="utf-8"))
    return content


def phrases_version() -> str:
    """Version and hash of the phrases, so that a change counts even if its author forgot the version.

    Comments in the file are not hashed: they change no sentence.
    """
    digest = hashlib.sha256(json.dumps(phrases()).encode()).hexdigest()
    return f"{phrases()['version']}+{digest[:8]}"


def on_scale(scale: Sequence[Step], value: float) -> str:
    """The words of the first entry whose `below` exceeds the value."""
    return next(entry["words"] for entry in scale if value < entry.get("below", float("inf")))
