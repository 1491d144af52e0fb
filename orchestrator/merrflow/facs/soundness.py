"""What can be wrong with a rule set although each of its rules is right: rules that can never win, words used twice.

Each function yields faults with their places, so that the reader can name the file's line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from merrflow.core.datafile import Fault, Place
from merrflow.facs.lexicon import Lexicon
from merrflow.facs.rules import Neutral, Rule, RuleSet

_NEEDS = {"first": "a minimum", "score": "prototypes", "weights": "an intercept and weights"}


def of_set(rules: RuleSet) -> Iterator[Fault]:
    """Faults between the rules of a set, and between them and how it decides."""
    yield from _words(rules)
    misfits = list(_misfits(rules))
    yield from misfits
    if misfits:
        return
    if rules.decide == "first":
        yield from _shadowed(rules)
    elif rules.decide == "score":
        yield from _too_weak(rules)
        yield from _outscored(rules)
    else:
        yield from _outweighed(rules)


def without_phrase(rules: RuleSet, lexicon: Lexicon) -> Iterator[Fault]:
    """Units that the rules may list, and the lexicon has no words for."""
    title = f"the lexicon {lexicon.name} {lexicon.version}"
    listed = [(("rules", place, "action_units"), rule.action_units) for place, rule in enumerate(rules.rules)]
    for place, units in [*listed, (("neutral", "action_units"), rules.neutral.action_units)]:
        for number, code in enumerate(units):
            if code not in lexicon.phrases:
                yield Fault((*place, number), f"{title} has no phrase for {code}")


def _words(rules: RuleSet) -> Iterator[Fault]:
    words: dict[str, str] = {}
    entries: list[tuple[Place, Neutral | Rule]] = [(("neutral",), rules.neutral)]
    entries += ((("rules", number), rule) for number, rule in enumerate(rules.rules))
    for place, entry in entries:
        places: list[Place] = [("label",), *(("aliases", number) for number in range(len(entry.aliases)))]
        for inner, word in zip(places, (entry.label, *entry.aliases), strict=True):
            if word in words:
                others = {words[word], entry.label} - {word}
                text = f"{word!r} occurs twice"
                text += f": at {words[word]!r} and at {entry.label!r}" if others else ""
                yield Fault((*place, *inner), text)
            words[word] = entry.label
    for key in ("records", "recall", "left_out") if rules.fit else ():
        for label in getattr(rules.fit, key):
            if label not in words and key != "left_out":
                yield Fault(("fit", key, label), f"unknown label {label!r}: the set has {', '.join(rules.labels)}")


def _misfits(rules: RuleSet) -> Iterator[Fault]:
    """Keys that belong to another way of deciding, or are missing for this one."""
    for key, mode in (("threshold", "score"), ("strength", "score"), ("base_rates", "weights"), ("fit", "weights")):
        given = getattr(rules, key) not in (None, {})
        if given and rules.decide != mode:
            yield Fault((key,), f"{key} needs decide: {mode}")
        if not given and rules.decide == mode and key != "fit":
            yield Fault(("decide",), f"decide: {mode} needs {key}")
    if rules.neutral.action_units and rules.decide != "first":
        yield Fault(("neutral", "action_units"), "a neutral clip's own units need decide: first")
    keys = {
        "minimum": "first",
        "prototypes": "score",
        "support": "score",
        "against": "score",
        "intercept": "weights",
        "weights": "weights",
    }
    for place, rule in enumerate(rules.rules):
        for key, mode in keys.items():
            given = getattr(rule, key) not in (None, (), {})
            if given and mode != rules.decide:
                yield Fault(("rules", place, key), f"{key} of {rule.label!r} need decide: {mode}")
            if not given and mode == rules.decide and key not in ("support", "against"):
                text = f"{rule.label!r} has no {key}: decide: {mode} needs {_NEEDS[mode]}"
                yield Fault(("rules", place, "label"), text)
        if rules.decide == "weights" and rules.base_rates:
            for code in rule.weights:
                if code not in rules.base_rates:
                    yield Fault(("rules", place, "weights", code), f"{code} has a weight but no base rate")
            missing = [code for code in rules.base_rates if code not in rule.weights]
            if missing and rule.weights:
                text = f"no weight for {' '.join(missing)}, which base_rates lists (0 if it says nothing)"
                yield Fault(("rules", place, "weights"), text)


def _shadowed(rules: RuleSet) -> Iterator[Fault]:
    """Rules that can never win: every face that meets them meets an earlier one."""
    for place, rule in enumerate(rules.rules):
        names = _always_before(rule, rules.rules[:place])
        if names:
            earlier = ", ".join(repr(name) for name in names)
            text = f"{rule.label!r} can never win: every face that meets it meets {earlier} first"
            yield Fault(("rules", place, "action_units"), text)


def _always_before(rule: Rule, earlier: Sequence[Rule]) -> tuple[str, ...]:
    """The earlier rules of which every face that meets `rule` meets one; empty if it can be met alone."""
    for other in earlier:
        free = len(set(rule.action_units) - set(other.action_units))
        if (rule.minimum or 1) - free >= (other.minimum or 1):
            return (other.label,)
    # More units never undo a rule, so that the faces with just enough of them are all that must be looked at.
    found: dict[str, None] = {}
    for units in combinations(rule.action_units, rule.minimum or 1):
        name = _first(earlier, units)
        if name is None:
            return ()
        found[name] = None
    return tuple(found)


def _first(rules: Sequence[Rule], units: Sequence[str]) -> str | None:
    for rule in rules:
        if sum(code in units for code in rule.action_units) >= (rule.minimum or 1):
            return rule.label
    return None


def _too_weak(rules: RuleSet) -> Iterator[Fault]:
    weak, most = [], 0.0
    for place, rule in enumerate(rules.rules):
        for number, prototype in enumerate(rule.prototypes):
            support = sum(weight for code, weight in rule.support.items() if code not in prototype.core)
            score = prototype.weight * (len(prototype.core) + support)
            most = max(most, score)
            if score < (rules.threshold or 0):
                text = f"scores {score:.2f} at most and can never reach the threshold of {rules.threshold}"
                at = ("rules", place, "prototypes", number, "core")
                weak.append(Fault(at, f"{' '.join(prototype.core)} {text}"))
    if most < (rules.threshold or 0):
        yield Fault(("threshold",), f"no rule can ever reach {rules.threshold}: the best scores {most:.2f} at most")
    else:
        yield from weak


def _outscored(rules: RuleSet) -> Iterator[Fault]:
    """Rules that another one beats on every face, because it has the same prototypes at no less evidence."""
    for place, rule in enumerate(rules.rules):
        for number, other in enumerate(rules.rules):
            if other is not rule and _covers(other, rule) and (number < place or not _covers(rule, other)):
                text = f"{rule.label!r} can never win: {other.label!r} has the same conditions and no less evidence"
                yield Fault(("rules", place, "prototypes"), text)
                break


def _covers(strong: Rule, weak: Rule) -> bool:
    matches = {prototype.condition: prototype.weight for prototype in strong.prototypes}
    return (
        all(matches.get(entry.condition, 0.0) >= entry.weight for entry in weak.prototypes)
        and all(strong.support.get(code, 0.0) >= weight for code, weight in weak.support.items())
        and all(weak.against.get(code, 0.0) >= weight for code, weight in strong.against.items())
    )


def _outweighed(rules: RuleSet) -> Iterator[Fault]:
    for place, rule in enumerate(rules.rules):
        intercept = rule.intercept or 0.0
        most = intercept + sum(max(weight, 0.0) for weight in rule.weights.values())
        if most <= 0:
            text = f"{rule.label!r} has log odds of {most:.2f} at most and can never win against neutral"
            yield Fault(("rules", place, "intercept"), text)
            continue
        for number, other in enumerate(rules.rules):
            if other is rule or not set(rule.action_units) <= set(other.action_units):
                continue
            gaps = [other.weights[code] - weight for code, weight in rule.weights.items()]
            least = (other.intercept or 0.0) - intercept + sum(min(gap, 0.0) for gap in gaps)
            if least > 0 or (least == 0 and number < place):
                text = f"{rule.label!r} can never win: {other.label!r} has higher log odds on every face"
                yield Fault(("rules", place, "weights"), text)
                break
