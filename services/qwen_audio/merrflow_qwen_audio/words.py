"""From measurements to one sentence, by the rules of `data/tone_words.yaml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from merrflow_qwen_audio.types import Content

WORDS_FILE = "data/tone_words.yaml"
Values = Mapping[str, float]  # measurement's name -> value in its unit


@dataclass(frozen=True)
class Rules:
    """The rule file, read. `version` is part of every answer's provenance."""

    version: str
    scales: Mapping[str, Any]
    pauses: Sequence[Mapping[str, Any]]
    ending: Sequence[Mapping[str, Any]]
    quality: Sequence[Mapping[str, Any]]
    arousal: Mapping[str, Any]
    doubtful: Mapping[str, Any]
    background: Sequence[Mapping[str, Any]]
    sentences: Mapping[str, str]
    sound_level: Mapping[str, float]


@cache
def rules() -> Rules:
    """The packaged rules. A file with other keys than these is a TypeError at once, not a missing word later."""
    text = files(__package__).joinpath(WORDS_FILE).read_text("utf-8")
    return Rules(**yaml.safe_load(text))


def sentence(content: Content, values: Values) -> str:
    """One sentence on the tone, or on what is heard where nobody speaks.

    `values` are measurements in their units (dBFS, Hz, semitones, ...); what was not measured is not in it and
    nothing is said about it.
    """
    if content is Content.SPEECH:
        return _speech(values)
    r = rules()
    if content is Content.SILENCE:
        return r.sentences["silence"]
    limits = r.sound_level
    if values["seconds"] < limits["brief_below_seconds"]:
        return r.sentences["brief"]
    level = values["level"]
    suffix = "_quiet" if level < limits["quiet_below"] else "_loud" if level >= limits["loud_from"] else ""
    return r.sentences[("music" if content is Content.MUSIC else "no_speech") + suffix]


def arousal_points(values: Values) -> int:
    """The sum of the arousal cues that hold (Scherer 2003; Juslin & Laukka 2003)."""
    return sum(cue["points"] for cue in rules().arousal["cues"] if _holds(cue, values))


def _speech(values: Values) -> str:
    r = rules()
    if any(_holds(rule, values) for rule in r.doubtful["rules"]):
        values = {name: value for name, value in values.items() if name not in r.doubtful["unspoken"]}
    height = _step("pitch_height", values)
    loudness = _step("loudness", values)
    adjectives = [word for word in (height, loudness) if word]
    adjectives += [rule["words"] for rule in r.quality if _holds(rule, values)]
    features = [word for word in (_step("pitch_range", values), _step("pace", values)) if word]
    features += _first(r.pauses, values)
    remarks = _first(r.ending, values)
    impression = _impression(values, {*adjectives, *features}) if height else None
    if impression:
        remarks.append(impression)
    if not height and not features:
        return r.sentences["too_little"]
    background = _first(r.background, values)
    return r.sentences["speech" if height else "voiceless"].format(
        adjectives=_join(adjectives),
        features=f", with {_join(features)}" if features else "",
        remarks=(f"; {_join(remarks, comma=True)}" if remarks else "") + (f", {background[0]}" if background else ""),
    )


def _impression(values: Values, said: set[str]) -> str | None:
    arousal = rules().arousal
    if values.get("utterance_seconds", 0.0) < arousal["least_seconds"]:
        return None
    points = arousal_points(values)
    for rule in arousal["impressions"]:
        within = rule.get("at_least", points) <= points <= rule.get("at_most", points)
        if within and said.issuperset(rule.get("requires", ())):
            return rule["words"]
    return None


def _step(scale: str, values: Values) -> str | None:
    """The words of a scale for the value measured; None where it was not, or in too short an utterance."""
    entry = rules().scales[scale]
    value = values.get(entry["measure"])
    if value is None or values.get("utterance_seconds", 0.0) < entry.get("least_seconds", 0.0):
        return None
    if "needs" in entry and not _holds(entry["needs"], values):
        return None
    return next(step["words"] for step in entry["steps"] if "below" not in step or value < step["below"])


def _holds(rule: Mapping[str, Any], values: Values) -> bool:
    """True where every measure a rule names was taken and lies within its limits."""
    if values.get("utterance_seconds", 0.0) < rule.get("least_seconds", 0.0):
        return False
    if rule.get("missing") in values:
        return False
    for prefix in ("", "and_"):
        if (name := rule.get(prefix + "measure")) is None:
            continue
        value = values.get(name)
        if value is None:
            return False
        if value < rule.get(prefix + "at_least", value) or value > rule.get(prefix + "at_most", value):
            return False
    return True


def _first(candidates: Sequence[Mapping[str, Any]], values: Values) -> list[str]:
    """The words of the first rule that holds, as a list of one or none."""
    return [rule["words"] for rule in candidates if _holds(rule, values)][:1]


def _join(words: Sequence[str], *, comma: bool = False) -> str:
    """ "a, b and c"; with `comma` "a, and b", for clauses."""
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + (", and " if comma else " and ") + words[-1]
