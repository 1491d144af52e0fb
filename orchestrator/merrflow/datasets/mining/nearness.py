"""How near one face comes to a label of a rule set: 1 is enough for the label, and what is missing is named."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from merrflow.datasets.mining.settings import MiningRules
from merrflow.facs.evidence import judge
from merrflow.facs.rules import Prototype, Rule, RuleSet, Strength


@dataclass(frozen=True)
class _Core:
    """A prototype as far as the engine measures it."""

    prototype: Prototype
    units: tuple[str, ...]
    share: float  # of the prototype's core


@dataclass(frozen=True)
class _Scoring:
    """What a rule set that decides by score is judged by."""

    threshold: float
    strength: Strength
    cores: tuple[_Core, ...]


class Nearness:
    """Judges faces for one label, by one rule set and what one engine measures. Quick: called for every face."""

    def __init__(self, rules: RuleSet, label: str, measurable: Collection[str], mining: MiningRules) -> None:
        rule = rules.rule(label)
        if rule is None:
            raise ValueError(f"{label} has no rule in {rules.title}")
        self.label = label
        self.units = rule.action_units  # measurable or not
        self._rules = rules
        self._rule: Rule = rule
        self._alone = rules.model_copy(update={"rules": (rule,)})
        self._measurable = frozenset(measurable)
        self._mining = mining
        self._named = {*rule.action_units, *rule.against}
        empty = judge(self._alone, (), {}, measurable)[0]
        self.judgeable = empty.judgeable
        self.unmeasurable = empty.unmeasurable
        self._scoring: _Scoring | None = None
        if rules.threshold is not None and rules.strength is not None and self.judgeable:
            self._scoring = _Scoring(rules.threshold, rules.strength, self._measured_cores())

    def ratio(self, present: Collection[str], intensity: Mapping[str, float]) -> float:
        """0 for nothing; 1 when the rule just holds; more, the surer it holds.

        If the rule holds, this is the rule set's own evidence over its threshold ("score"), over the units it
        needs ("first"), or twice the label's probability against neutral ("weights").
        """
        if not self.judgeable:
            return 0.0
        if self._scoring is not None:
            return self._best(self._scoring, present, intensity)[0]
        if self._rules.decide == "first":
            return self._counted(present, intensity)
        return 2.0 / (1.0 + math.exp(-judge(self._alone, present, intensity, self._measurable)[0].score))

    def reason(self, present: Collection[str], intensity: Mapping[str, float]) -> str:
        """ "AU09 1.4 of 1.8, AU10 absent (0.3); AU12 1.1 speaks against"."""
        core, units = None, tuple(code for code in self._rule.action_units if code in self._measurable)
        if self._rules.decide == "score":
            core = self._best(self._scoring, present, intensity)[1] if self._scoring is not None else None
            units = core.units if core else ()
        least = core.prototype.at_least if core else {}
        parts = [", ".join(_in_words(code, present, intensity, least.get(code)) for code in units)]
        helping = [code for code in self._rule.support if code in present and code not in units]
        against = [code for code in self._rule.against if code in present]
        if self._rules.decide == "weights":
            against = [code for code, weight in self._rule.weights.items() if weight < 0 and code in present]
        for codes, verb in ((helping, "support"), (against, "speak")):
            if codes:
                words = ", ".join(_in_words(code, present, intensity) for code in codes)
                tail = " against" if verb == "speak" else ""
                parts.append(f"{words} {verb}{'s' if len(codes) == 1 else ''}{tail}")
        return "; ".join(part for part in parts if part)

    def decided(self, present: Collection[str], intensity: Mapping[str, float]) -> str:
        """The label that the whole rule set would give."""
        best = judge(self._rules, present, intensity, self._measurable)[0]
        return best.label if best.is_met else self._rules.neutral.label

    def _measured_cores(self) -> tuple[_Core, ...]:
        """As in facs/evidence.py: prototypes that are measured whole, else those that are so for the most part."""
        cores = [
            _Core(one, tuple(code for code in one.core if code in self._measurable), 0.0)
            for one in self._rule.prototypes
        ]
        found = []
        for core in cores:
            single = self._rule.model_copy(update={"prototypes": (core.prototype,)})
            alone = self._rules.model_copy(update={"rules": (single,)})
            if judge(alone, (), {}, self._measurable)[0].judgeable:
                found.append(_Core(core.prototype, core.units, len(core.units) / len(core.prototype.core)))
        whole = [core for core in found if core.share == 1.0]
        return tuple(whole or found)

    def _best(
        self, scoring: _Scoring, present: Collection[str], intensity: Mapping[str, float]
    ) -> tuple[float, _Core | None]:
        """The nearness by the prototype that gives most, and that prototype."""
        strength = {code: scoring.strength.of(intensity.get(code)) for code in present if code in self._named}
        against = _weighed(self._rule.against, strength)
        support = _weighed(self._rule.support, strength)
        best, chosen = 0.0, None
        for core in scoring.cores:
            value = self._value(scoring, core, strength, intensity, support)
            if value > best:
                best, chosen = value, core
        return max(0.0, best - against) / scoring.threshold, chosen

    def _value(
        self,
        scoring: _Scoring,
        core: _Core,
        strength: Mapping[str, float],
        intensity: Mapping[str, float],
        support: float,
    ) -> float:
        """One prototype's evidence; `support` counts all units, those of the core too."""
        least = core.prototype.at_least
        filled, total, absent = 0.0, 0.0, 0
        for code in core.units:
            asked = least.get(code, 0.0)
            value = intensity.get(code, 0.0)
            if code in strength:
                total += strength[code]
                filled += 1.0 if value >= asked else value / asked
                support -= self._rule.support.get(code, 0.0) * strength[code]
            else:
                absent += 1
                filled += self._mining.absent_share * min(1.0, value / max(asked, self._mining.trace))
        if filled == 0.0:
            return 0.0
        weight = core.prototype.weight * core.share
        if filled == len(core.units):
            return weight * (total + support)
        # An incomplete prototype never reaches the threshold, however strong its units are. An absent unit counts
        # for the least that a present one would.
        value = weight * (total + absent * scoring.strength.floor + support)
        value *= (filled / len(core.units)) ** self._mining.power
        return scoring.threshold * -math.expm1(-value / scoring.threshold)

    def _counted(self, present: Collection[str], intensity: Mapping[str, float]) -> float:
        """ "first": units that are present over those that are needed; stronger ones a little ahead."""
        known = [code for code in self._rule.action_units if code in self._measurable]
        needed = math.ceil((self._rule.minimum or 1) * len(known) / len(self._rule.action_units))
        standing = [code for code in known if code in present]
        near = sum(min(1.0, intensity.get(code, 0.0) / self._mining.trace) for code in known if code not in present)
        partial = min(len(standing) + self._mining.absent_share * near, max(needed - 0.2, len(standing)))
        strong = sum(min(intensity.get(code, 0.0), 5.0) / 5.0 for code in standing) / len(known)
        return (partial + 0.1 * strong) / needed


def _weighed(weights: Mapping[str, float], strength: Mapping[str, float]) -> float:
    return sum(weight * strength[code] for code, weight in weights.items() if code in strength)


def _in_words(code: str, present: Collection[str], intensity: Mapping[str, float], least: float | None = None) -> str:
    value = intensity.get(code)
    if code not in present:
        return f"{code} absent" + (f" ({value:.1f})" if value and value >= 0.05 else "")
    if value is None:
        return f"{code} present"
    return f"{code} {value:.1f}" + (f" of {least:.1f}" if least and value < least else "")
