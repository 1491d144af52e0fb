"""Gives a clip its pseudo-label from the peak's Action Units, or checks a given one against them."""

from __future__ import annotations

from collections.abc import Sequence

from merrflow.facs.evidence import Evidence, judge
from merrflow.facs.lexicon import Lexicon, load_lexicon
from merrflow.facs.rules import RuleSet
from merrflow.facs.units import expressive
from merrflow.types import Label, Peak


def decide(
    peak: Peak,
    clip: str,
    rules: RuleSet,
    measurable: Sequence[str],
    given: str | None = None,
    lexicon: Lexicon | None = None,
) -> Label:
    """The label, the units that support it and a phrase for each of them.

    `clip`: the clip's name, from which the phrases are drawn, so that a rerun gives the same words.
    `measurable`: what the engine can measure (ActionUnitSeries.measurable).
    `given`: a label from a table; it wins, and `reason` tells whether the units agree. Raises UnknownLabel
    where the rule set has no such label.

    A neutral clip keeps the expressive units that do stand, or, where single units decide (the `merr` rules),
    those of the label the rules would have given, as the published neutral records do.
    """
    lexicon = lexicon or load_lexicon(rules.lexicon)
    ranked = judge(rules, peak.action_units, peak.intensity, measurable)
    best = ranked[0]
    ruled = best.label if best.stands else rules.neutral.label
    label = rules.normal(given) if given is not None and given.strip() else None
    source = "rules" if label is None else "table"
    label = label or ruled

    own = next((evidence for evidence in ranked if evidence.label == label), None)
    if own is not None:
        units = own.units
    elif rules.decide == "first" and best.stands:
        units = best.units
    else:
        units = tuple(code for code in peak.action_units if expressive(code))
    units = tuple(code for code in units if code in lexicon.phrases)

    reason = _ruled(ranked, rules, peak) if source == "rules" else _checked(label, own, ruled, ranked, rules, peak)
    return Label(
        label=label,
        source=source,
        action_units=units,
        expressions=lexicon.draw_all(clip, units),
        rules=rules.title,
        reason=reason,
    )


def _ruled(ranked: Sequence[Evidence], rules: RuleSet, peak: Peak) -> str:
    best = ranked[0]
    if not best.stands:
        return f"{rules.neutral.label}: {_nothing(ranked, rules, peak)}{_blind(ranked, rules)}"
    text = f"{best.label}: {_units(best, rules)}"
    if rules.decide == "score":
        text += f"; score {best.score:.2f}"
        other = ranked[1] if len(ranked) > 1 and ranked[1].score > 0 else None
        text += f", next {other.label} {other.score:.2f}" if other else ", nothing else comes near"
    else:
        others = [evidence.label for evidence in ranked[1:] if evidence.stands]
        text += f"; first in the order of {' '.join([best.label, *others])}" if others else ""
    return text + _missing(best)


def _checked(
    label: str, own: Evidence | None, ruled: str, ranked: Sequence[Evidence], rules: RuleSet, peak: Peak
) -> str:
    """What the units say of a given label."""
    if own is None:
        if ruled == label:
            return f"{label}: given in the table; the rules agree: {_nothing(ranked, rules, peak)}"
        return f"{label}: given in the table; the rules say {ruled}: {_units(ranked[0], rules)}"
    if not own.judgeable:
        verdict = "cannot be checked, for lack of Action Units that this engine measures"
    elif own.stands:
        verdict = f"supported by {_units(own, rules)}"
    elif own.units:
        verdict = f"not supported enough, only {_units(own, rules)}"
    else:
        verdict = f"not supported, none of {' '.join(rules.rule(label).action_units)} stands at the peak"
    agreement = "the rules agree" if ruled == label else f"the rules say {ruled}"
    return f"{label}: given in the table; {verdict}; {agreement}{_missing(own)}"


def _units(evidence: Evidence, rules: RuleSet) -> str:
    return f"{', '.join(evidence.units)} of {' '.join(rules.rule(evidence.label).action_units)}"


def _nothing(ranked: Sequence[Evidence], rules: RuleSet, peak: Peak) -> str:
    standing = [code for code in peak.action_units if expressive(code)]
    if not standing:
        spoken = f" (only {' '.join(peak.action_units)}, of speech or blinking)" if peak.action_units else ""
        return f"no expressive Action Unit stands at the peak{spoken}"
    text = f"{' '.join(standing)} at the peak {'makes' if len(standing) == 1 else 'make'} no label"
    if rules.decide == "score" and ranked[0].score > 0:
        # three digits, so that a score just below the threshold does not look as if it reached it
        text += f"; nearest {ranked[0].label} {ranked[0].score:.3f} of {rules.threshold:.3f}"
    return text


def _missing(evidence: Evidence) -> str:
    if not evidence.unmeasurable:
        return ""
    return f"; judged without {' '.join(evidence.unmeasurable)}, which this engine cannot measure"


def _blind(ranked: Sequence[Evidence], rules: RuleSet) -> str:
    """Which labels the engine could not have told."""
    blind = [
        label for label in rules.labels for evidence in ranked if evidence.label == label and not evidence.judgeable
    ]
    return f"; {', '.join(blind)} cannot be told with what this engine measures" if blind else ""
