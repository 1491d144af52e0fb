"""How well the Action Units at a peak support a label, by one rule."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from merrflow.facs.rules import Prototype, Rule, RuleSet
from merrflow.facs.units import expressive

# A prototype is still judged if the engine measures at least this share of its core, and a label's weights if it
# measures at least this share of what they vary by from face to face (weight x standard deviation of the presence).
_LEAST_SHARE = 0.5


@dataclass(frozen=True)
class Evidence:
    """What one rule makes of a face."""

    label: str
    score: float  # "score": strength; "weights": log odds against neutral; "first": share of the units that are present
    is_met: bool  # whether the rule's condition is met
    units: tuple[str, ...]  # the rule's units that are present, in the rule's order
    unmeasurable: tuple[str, ...]  # units of the rule that the engine cannot measure
    judgeable: bool = True  # False: what the engine measures is not enough to judge this label


def judge(
    rules: RuleSet, present: Collection[str], intensity: Mapping[str, float], measurable: Collection[str]
) -> tuple[Evidence, ...]:
    """Every rule's evidence, the deciding one first.

    `present`: units at the peak; `intensity`: 0 to 5, of those that have one; `measurable`: what the engine
    measures at all. A unit that cannot be measured is neither for nor against. "So many of" conditions shrink
    in proportion, rounded up. A rule is judged by those of its prototypes that can be measured whole; if
    there are none, by what is left of the others, at the measured share of their weight, as long as that is
    at least half of the core and holds a unit that is not of speech.

    Weights: a unit that cannot be measured counts by its base rate, that is, as often as it is present in the records
    the weights were fitted to; this takes it as independent of the units that are measured. A label is met only with
    a unit of its own (action_units), so that its AU_list is never empty.
    """
    found = [_judge(rule, rules, present, intensity, measurable) for rule in rules.rules]
    if rules.decide == "first":
        return tuple(sorted(found, key=lambda evidence: not evidence.is_met))  # stable: the file's order
    return tuple(sorted(found, key=lambda evidence: (not evidence.is_met, -evidence.score)))


def _judge(
    rule: Rule, rules: RuleSet, present: Collection[str], intensity: Mapping[str, float], measurable: Collection[str]
) -> Evidence:
    units = tuple(code for code in rule.action_units if code in present)
    missing = tuple(code for code in rule.action_units if code not in measurable)
    known = len(rule.action_units) - len(missing)
    if rules.decide == "first":
        needed = math.ceil((rule.minimum or 1) * known / len(rule.action_units))
        is_met = known > 0 and len(units) >= needed
        return Evidence(rule.label, len(units) / max(known, 1), is_met, units, missing, known > 0)
    if rules.decide == "weights":
        return _weigh(rule, rules.base_rates, present, measurable)

    assert rules.strength is not None and rules.threshold is not None  # which reading the set has checked
    strength = {code: rules.strength.of(intensity.get(code)) for code in present}
    against = sum(weight * strength.get(code, 0.0) for code, weight in rule.against.items())
    whole = [prototype for prototype in rule.prototypes if set(prototype.core) <= set(measurable)]
    judged = whole or [prototype for prototype in rule.prototypes if _judgeable(prototype, measurable)]
    scores = [_score(prototype, rule, strength, intensity, measurable) for prototype in judged]
    score = max(0.0, max(scores, default=0.0) - against)
    return Evidence(rule.label, score, score >= rules.threshold, units, missing, bool(judged))


def _weigh(
    rule: Rule, base_rates: Mapping[str, float], present: Collection[str], measurable: Collection[str]
) -> Evidence:
    units = tuple(code for code in rule.action_units if code in present)
    missing = tuple(code for code in rule.weights if code not in measurable and code not in present)
    score = rule.intercept or 0.0
    for code, weight in rule.weights.items():
        score += weight * (base_rates[code] if code in missing else code in present)
    spread = {code: abs(w) * math.sqrt(base_rates[code] * (1 - base_rates[code])) for code, w in rule.weights.items()}
    measured = sum(value for code, value in spread.items() if code not in missing)
    own = any(code in measurable or code in present for code in rule.action_units)
    judgeable = own and measured >= _LEAST_SHARE * sum(spread.values())
    is_met = judgeable and score > 0 and bool(units)
    return Evidence(rule.label, score, is_met, units, missing, judgeable)


def _judgeable(prototype: Prototype, measurable: Collection[str]) -> bool:
    core = [code for code in prototype.core if code in measurable]
    return len(core) >= _LEAST_SHARE * len(prototype.core) and any(expressive(code) for code in core)


def _score(
    prototype: Prototype,
    rule: Rule,
    strength: Mapping[str, float],
    intensity: Mapping[str, float],
    measurable: Collection[str],
) -> float:
    """Weight times the evidence of core and support; 0 if the face does not show the prototype."""
    core = [code for code in prototype.core if code in measurable]
    for code in core:
        least = prototype.at_least.get(code, 0.0)
        if code not in strength or (least and intensity.get(code, 0.0) < least):
            return 0.0
    support = sum(w * strength.get(code, 0.0) for code, w in rule.support.items() if code not in core)
    share = len(core) / len(prototype.core)
    return prototype.weight * share * (sum(strength[code] for code in core) + support)
