"""Compares what a tone sentence claims of a voice with what was measured of it.

A sentence may come from any model. What counts as a claim, and in which range of which measure it is supported or
contradicted, is in grounding.yaml with its sources. Only English is read; a sentence in another language has no
claims here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from merrflow.core.texts import Claim, Tone
from merrflow.stages.grounding_rules import GroundingRules, Limits, Quality, Ranges, read_rules
from merrflow.stages.stage import Stage
from merrflow.stages.tone_claims import Mention, mentions

SUPPORTED, CONTRADICTED, UNDECIDED, UNMEASURED = "supported", "contradicted", "undecided", "unmeasured"
_AROUSAL = "arousal"
_UNITS = {"1": "", "1/s": "a second"}
_BASES = ("pitch_range", "loudness", "articulation_rate", "alpha_ratio")  # of arousal, each with a low and a high side


@dataclass(frozen=True)
class _Measurements:
    """The measurements that can be trusted, and why the others cannot."""

    values: Mapping[str, float]
    units: Mapping[str, str]
    why_not: Mapping[str, str]

    def why(self, measure: str) -> str:
        return self.why_not.get(measure, f"{measure} was not measured")


@cache
def load_grounding() -> GroundingRules:
    """The rules that come with the package."""
    return read_rules(files("merrflow.stages") / "grounding.yaml")


def ground(tone: Tone | None, rules: GroundingRules | None = None) -> tuple[Claim, ...]:
    """What the sentence claims, in its order, each with a verdict; empty without a tone or a claim.

    Verdicts: "supported"; "contradicted"; "undecided", if the measurements are between the two;
    "unmeasured", if what it takes was not or cannot be measured. A denial ("not loud") has the quality
    "not loud". The same quality is reported once, with the words that come first.
    """
    if tone is None or not tone.text.strip():
        return ()
    rules = rules or load_grounding()
    measured = _measurements(tone, rules)
    claims: dict[str, Claim] = {}
    for mention in mentions(tone.text, rules):
        quality = rules.quality(mention.quality)
        name = f"not {quality.name}" if mention.denied else quality.name
        if name not in claims:
            claims[name] = Claim(mention.words, name, *_verdict(mention, quality, tone.content, measured))
    return tuple(claims.values())


def _verdict(mention: Mention, quality: Quality, content: str, measured: _Measurements) -> tuple[str, str]:
    if not quality.measurable:
        return UNMEASURED, f"nothing here measures it: {quality.source}"
    if content in (*quality.supported_content, *quality.contradicted_content):
        holds = content in quality.supported_content
        opposed = UNDECIDED if mention.doubted else CONTRADICTED
        verdict = opposed if holds == mention.denied else SUPPORTED
        return verdict, f"the recording holds {content.replace('_', ' ')}"
    if not quality.supported:
        return UNMEASURED, f"what the recording holds is not known ({content.replace('_', ' ')})"
    decided = _denied if mention.denied else _claimed
    verdict = decided(quality, measured)
    reason = _reason(verdict, quality, mention.denied, measured)
    if verdict == CONTRADICTED and mention.doubted:
        return UNDECIDED, f"said with doubt; {reason}"
    return verdict, reason


def _claimed(quality: Quality, measured: _Measurements) -> str:
    if _any(quality.supported, measured):
        return SUPPORTED
    if _any(quality.contradicted, measured):
        return CONTRADICTED
    return UNDECIDED if _measured(quality, measured) else UNMEASURED


def _denied(quality: Quality, measured: _Measurements) -> str:
    if _any(quality.firm, measured):
        return CONTRADICTED
    if _any(quality.supported, measured):
        return UNDECIDED
    return SUPPORTED if _measured(quality, measured) else UNMEASURED


def _measured(quality: Quality, measured: _Measurements) -> bool:
    return any(all(name in measured.values for name in ranges) for ranges in quality.supported)


def _any(alternatives: Sequence[Ranges], measured: _Measurements) -> bool:
    return any(_holds(ranges, measured.values) for ranges in alternatives)


def _holds(ranges: Ranges, values: Mapping[str, float]) -> bool:
    return all(name in values and _within(values[name], limits) for name, limits in ranges.items())


def _within(value: float, limits: Limits) -> bool:
    least, most = limits
    return (least is None or value >= least) and (most is None or value <= most)


def _measurements(tone: Tone, rules: GroundingRules) -> _Measurements:
    """The trusted measurements with arousal among them."""
    values = {name: value for name, (value, _) in tone.measurements.items()}
    units = {name: _UNITS.get(unit, unit) for name, (_, unit) in tone.measurements.items()}
    why_not: dict[str, str] = {}
    for case in rules.doubtful.where:
        if _holds(case.when, values) and case.missing not in values:
            music = "music" in case.when
            reason = "music plays under the voice" if music else f"the voice is {_shown(values, units, case.when)}"
            why_not |= {name: f"{name} cannot be trusted: {reason}" for name in rules.doubtful.measures}
            break
    for name, needs in rules.trust.items():
        failed = [need for need in needs if not _holds({need: needs[need]}, values)]
        if name in values and name not in why_not and failed:
            why_not[name] = f"{name} cannot be trusted: " + _short(failed[0], needs[failed[0]], values, units)
    trusted = {name: value for name, value in values.items() if name not in why_not}
    arousal, reason = _arousal(trusted, rules)
    if arousal is None:
        why_not[_AROUSAL] = reason
    else:
        trusted[_AROUSAL] = arousal
        units[_AROUSAL] = f"({reason})" if reason else ""
    return _Measurements(trusted, units, why_not)


def _arousal(values: Mapping[str, float], rules: GroundingRules) -> tuple[float | None, str]:
    """The sum of the cues that hold with their names, or None with the reason."""
    if not _holds(rules.arousal.needs, values):
        return None, "arousal cannot be judged in so short an utterance"
    if sum(name in values for name in _BASES) < rules.arousal.least_measured:
        return None, "too few cues of arousal were measured"
    holding = [cue for cue in rules.arousal.cues if _holds(cue.when, values)]
    named = ", ".join(f"{next(iter(cue.when))} {cue.points:+d}" for cue in holding)
    return float(sum(cue.points for cue in holding)), named


def arousal_of(tone: Tone, rules: GroundingRules | None = None) -> tuple[float | None, str]:
    """The voice's arousal, -4 to 5, with the cues behind it; None with the reason if it cannot be judged."""
    rules = rules or load_grounding()
    measured = _measurements(tone, rules)
    if _AROUSAL not in measured.values:
        return None, measured.why(_AROUSAL)
    return measured.values[_AROUSAL], measured.units[_AROUSAL].strip("()")


def _reason(verdict: str, quality: Quality, denied: bool, measured: _Measurements) -> str:
    if verdict == UNMEASURED:
        missing = [name for ranges in quality.supported for name in ranges if name not in measured.values]
        return "; ".join(dict.fromkeys(measured.why(name) for name in missing))
    source = quality.supported
    if verdict == CONTRADICTED:
        source = quality.firm if denied else quality.contradicted
    shown = next((r for r in source if _holds(r, measured.values)), None)
    if shown is None:
        shown = next(r for r in quality.supported if all(name in measured.values for name in r))
    found = _shown(measured.values, measured.units, shown)
    if verdict == SUPPORTED and not denied:
        return found
    wanted = next((r for r in quality.supported if set(r) == set(shown)), quality.supported[0])
    return f"{found}; {quality.name} is {_words(wanted, measured.units)}"


def _shown(values: Mapping[str, float], units: Mapping[str, str], names: Iterable[str]) -> str:
    return ", ".join(f"{name} {_number(values[name])} {units.get(name, '')}".strip() for name in names)


def _short(name: str, limits: Limits, values: Mapping[str, float], units: Mapping[str, str]) -> str:
    needed = _words({name: limits}, units)
    return f"{_shown(values, units, [name])}, needed {needed}" if name in values else f"{name} was not measured"


def _words(ranges: Ranges, units: Mapping[str, str]) -> str:
    parts = []
    for name, (least, most) in ranges.items():
        unit = "" if name == _AROUSAL else units.get(name, "")
        parts.append(f"{name} {_range(least, most)} {unit}".strip())
    return " and ".join(parts)


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f"at most {_number(most)}"
    return f"at least {_number(least)}" if most is None else f"{_number(least)} to {_number(most)}"


def _number(value: float) -> str:
    """Three digits at most after the first, without trailing zeros: "118", "-21.7", "0.45"."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


STAGE: Stage[tuple[Claim, ...]] = Stage(
    name="grounding",
    purpose="what the tone claims, compared with what was measured",
    compute=lambda work, tone: ground(tone),
    needs=("tone",),
    data_version=lambda: load_grounding().version,
)
