"""From measurements to one sentence, by the rules of `data/tone_words.yaml`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NotRequired, TypedDict

import yaml

from merrflow_qwen_audio.types import Content

WORDS_FILE = "data/tone_words.yaml"
Values = Mapping[str, float]  # measurement's name -> value in its unit


class Condition(TypedDict, total=False):
    """Holds if every measure it names was taken and is within its limits."""

    measure: str
    at_least: float
    at_most: float
    and_measure: str
    and_at_least: float
    and_at_most: float
    missing: str  # a measure that must not have been taken
    least_seconds: float  # of utterance


class Rule(Condition):
    """What is said if the condition holds."""

    words: str


class Step(TypedDict):
    """Words for the values below a limit; the last step of a scale has none."""

    words: str
    below: NotRequired[float]


class Steps(Condition):
    """Other steps, if the condition holds."""

    steps: list[Step]


class Scale(TypedDict):
    """Words for one measure, in steps."""

    measure: str
    steps: list[Step]
    instead: NotRequired[list[Steps]]  # of which the first that holds counts
    least_seconds: NotRequired[float]  # of utterance
    needs: NotRequired[Condition]


class ArousalCue(Condition):
    """A sign of high or low arousal: a condition, or one of these words of a scale."""

    scale: NotRequired[str]
    words: NotRequired[list[str]]
    points: int


class Impression(TypedDict):
    """What is said for a range of arousal points."""

    words: str
    at_least: NotRequired[int]
    at_most: NotRequired[int]
    requires: NotRequired[list[str]]  # words that must have been said


class Arousal(TypedDict):
    """How arousal cues add up to an impression."""

    least_seconds: float  # of utterance
    cues: list[ArousalCue]
    impressions: list[Impression]


class Doubtful(TypedDict):
    """Measures that are not mentioned if one of the rules holds."""

    rules: list[Condition]
    unspoken: list[str]


@dataclass(frozen=True)
class Rules:
    """The rule file, read. `version` is part of every answer's provenance."""

    version: str
    scales: Mapping[str, Scale]
    pauses: Sequence[Rule]
    ending: Sequence[Rule]
    quality: Sequence[Rule]
    arousal: Arousal
    doubtful: Doubtful
    background: Sequence[Rule]
    sentences: Mapping[str, str]
    sound_level: Mapping[str, float]


@cache
def rules() -> Rules:
    """The packaged rules. A file with other keys raises a TypeError at once instead of leaving a word out later."""
    text = files(__package__).joinpath(WORDS_FILE).read_text("utf-8")
    return Rules(**yaml.safe_load(text))


def rules_version() -> str:
    """The rule file's version and hash, so that a changed word is a changed version even if its author forgot it."""
    data = files(__package__).joinpath(WORDS_FILE).read_bytes()
    return f"tone_words {rules().version} sha256:{hashlib.sha256(data).hexdigest()[:12]}"


def sentence(content: Content, values: Values) -> str:
    """One sentence about the tone, or about what is heard if nobody speaks.

    `values` are measurements in their units (dBFS, Hz, semitones, ...); what was not measured is not in it and is not
    mentioned.
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
    return sum(cue["points"] for cue in rules().arousal["cues"] if _shows(cue, values))


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


def _shows(cue: ArousalCue, values: Values) -> bool:
    if "scale" in cue:
        return _step(cue["scale"], values) in cue["words"]
    return _holds(cue, values)


def _step(scale: str, values: Values) -> str | None:
    """The words of a scale for the measured value; None if there is none, or if the utterance is too short."""
    entry = rules().scales[scale]
    value = values.get(entry["measure"])
    if value is None or values.get("utterance_seconds", 0.0) < entry.get("least_seconds", 0.0):
        return None
    if "needs" in entry and not _holds(entry["needs"], values):
        return None
    steps = next((other["steps"] for other in entry.get("instead", ()) if _holds(other, values)), entry["steps"])
    return next(step["words"] for step in steps if "below" not in step or value < step["below"])


def _holds(rule: Condition, values: Values) -> bool:
    if values.get("utterance_seconds", 0.0) < rule.get("least_seconds", 0.0):
        return False
    if rule.get("missing") in values:
        return False
    return all(
        name is None or _within(values.get(name), at_least, at_most)
        for name, at_least, at_most in (
            (rule.get("measure"), rule.get("at_least"), rule.get("at_most")),
            (rule.get("and_measure"), rule.get("and_at_least"), rule.get("and_at_most")),
        )
    )


def _within(value: float | None, at_least: float | None, at_most: float | None) -> bool:
    if value is None:
        return False
    too_low = at_least is not None and value < at_least
    too_high = at_most is not None and value > at_most
    return not (too_low or too_high)


def _first(candidates: Sequence[Rule], values: Values) -> list[str]:
    """The words of the first rule that holds; an empty list if none does."""
    return [rule["words"] for rule in candidates if _holds(rule, values)][:1]


def _join(words: Sequence[str], *, comma: bool = False) -> str:
    """ "a, b and c"; with `comma` "a, and b", for clauses."""
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + (", and " if comma else " and ") + words[-1]
