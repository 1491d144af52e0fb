"""Gives a clip its pseudo-label from the peak's Action Units, or checks a given one against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from merrflow.core.fingerprint import fraction
from merrflow.core.labels import Label
from merrflow.core.measurements import Peak
from merrflow.facs.evidence import Evidence, judge
from merrflow.facs.lexicon import Lexicon
from merrflow.facs.rules import RuleSet
from merrflow.facs.units import expressive
from merrflow.stages.stage import Skip, Stage, Work

_GIVEN = {"table": "given in the table", "model": "given by the model"}


@dataclass(frozen=True)
class GivenLabel:
    """A label that does not come from the rules, as its source wrote it; an empty one counts as none."""

    label: str
    source: Literal["table", "model"]
    detail: str = ""  # what the source says of it, for the reason: "probability 0.62 of 9 labels"

    @classmethod
    def likeliest(cls, probability: Mapping[str, float]) -> GivenLabel:
        """The top label of a model's distribution; the alphabet decides a tie. Raises ValueError if it is empty."""
        if not probability:
            raise ValueError("a distribution without a label")
        label = min(probability, key=lambda name: (-probability[name], name))
        return cls(label, "model", f"probability {probability[label]:.2f} of {len(probability)} labels")


def decide(
    peak: Peak,
    clip: str,
    rules: RuleSet,
    measurable: Sequence[str],
    given: GivenLabel | None = None,
    lexicon: Lexicon | None = None,
) -> Label:
    """The label, the units that support it and a phrase for each of them.

    `clip`: the clip's name, from which the phrases are drawn, so that a rerun gives the same words.
    `measurable`: what the engine can measure (ActionUnitSeries.measurable).
    `given`: a label from a table or a model; it wins, and `reason` says whether the units agree. Raises
    UnknownLabel if the rule set has no such label.

    A neutral clip keeps the expressive units that are present, or, if single units decide (the `merr` rules), those of
    the rule set's neutral combination, else of the label the rules would have given, as the published neutral records
    do (facs/rulesets/merr.yaml).
    """
    lexicon = lexicon or rules.phrases()
    ranked = judge(rules, peak.action_units, peak.intensity, measurable)
    best = ranked[0]
    ruled = best.label if best.is_met else rules.neutral.label
    if given is not None and not given.label.strip():
        given = None
    label = rules.normal(given.label) if given else ruled

    own = next((evidence for evidence in ranked if evidence.label == label), None)
    units = own.units if own else _neutral_units(best, rules, peak)
    units = tuple(code for code in units if code in lexicon.phrases)
    by_score = sorted(ranked, key=lambda evidence: -evidence.score)

    return Label(
        label=label,
        source=given.source if given else "rules",
        action_units=units,
        expressions=lexicon.draw_all(clip, units),
        rules=rules.title,
        reason=_checked(label, given, own, ruled, ranked, rules, peak) if given else _ruled(ranked, rules, peak),
        ruled=ruled,
        supported=_supported(own, ranked),
        scores={evidence.label: round(evidence.score, 4) for evidence in by_score if evidence.judgeable},
    )


def _neutral_units(best: Evidence, rules: RuleSet, peak: Peak) -> tuple[str, ...]:
    if rules.neutral.action_units and set(rules.neutral.action_units) <= set(peak.action_units):
        return rules.neutral.action_units
    if rules.decide == "first" and best.is_met:
        return best.units
    return tuple(code for code in peak.action_units if expressive(code))


def _supported(own: Evidence | None, ranked: Sequence[Evidence]) -> bool | None:
    """Whether the label's rule is met; neutral's is that no other is."""
    if own is not None:
        return own.is_met if own.judgeable else None
    if any(evidence.is_met for evidence in ranked):
        return False
    return True if any(evidence.judgeable for evidence in ranked) else None


def _ruled(ranked: Sequence[Evidence], rules: RuleSet, peak: Peak) -> str:
    best = ranked[0]
    if not best.is_met:
        return f"{rules.neutral.label}: {_nothing(ranked, rules, peak)}{_blind(ranked, rules)}"
    text = f"{best.label}: {_units(best, rules)}"
    if rules.decide == "first":
        others = [evidence.label for evidence in ranked[1:] if evidence.is_met]
        text += f"; first in the order of {' '.join([best.label, *others])}" if others else ""
        return text + _missing(best)
    other = ranked[1] if len(ranked) > 1 and ranked[1].score > 0 else None
    text += f"; {_measure(best, rules)}"
    text += f", next {other.label} {other.score:.2f}" if other else ", nothing else comes near"
    return text + _missing(best)


def _checked(
    label: str,
    given: GivenLabel,
    own: Evidence | None,
    ruled: str,
    ranked: Sequence[Evidence],
    rules: RuleSet,
    peak: Peak,
) -> str:
    """What the units say of a given label."""
    origin = f"{label}: {_GIVEN[given.source]}{f' ({given.detail})' if given.detail else ''}"
    if own is None:
        if ruled == label:
            return f"{origin}; the rules agree: {_nothing(ranked, rules, peak)}"
        return f"{origin}; the rules say {ruled}: {_units(ranked[0], rules)}"
    if not own.judgeable:
        verdict = "cannot be checked, for lack of Action Units that this engine measures"
    elif own.is_met:
        verdict = f"supported by {_units(own, rules)}"
    elif own.units:
        verdict = f"not supported enough, only {_units(own, rules)}"
    else:
        verdict = f"not supported, none of {_rule_units(label, rules)} stands at the peak"
    if rules.decide == "weights" and own.judgeable and own.units:
        verdict += f", {_measure(own, rules)}"
    agreement = "the rules agree" if ruled == label else f"the rules say {ruled}"
    return f"{origin}; {verdict}; {agreement}{_missing(own)}"


def _units(evidence: Evidence, rules: RuleSet) -> str:
    return f"{', '.join(evidence.units)} of {_rule_units(evidence.label, rules)}"


def _rule_units(label: str, rules: RuleSet) -> str:
    rule = rules.rule(label)
    return " ".join(rule.action_units) if rule else ""


def _measure(evidence: Evidence, rules: RuleSet) -> str:
    what = "log odds against neutral" if rules.decide == "weights" else "score"
    return f"{what} {evidence.score:.2f}"


def _nothing(ranked: Sequence[Evidence], rules: RuleSet, peak: Peak) -> str:
    standing = [code for code in peak.action_units if expressive(code)]
    if not standing:
        spoken = f" (only {' '.join(peak.action_units)}, of speech or blinking)" if peak.action_units else ""
        return f"no expressive Action Unit stands at the peak{spoken}"
    text = f"{' '.join(standing)} at the peak {'makes' if len(standing) == 1 else 'make'} no label"
    if rules.decide == "score" and ranked[0].score > 0:
        # three digits, so that a score just below the threshold does not look as if it reached it
        text += f"; nearest {ranked[0].label} {ranked[0].score:.3f} of {rules.threshold:.3f}"
    elif rules.decide == "weights":
        text += f"; nearest {ranked[0].label}, {_measure(ranked[0], rules)}"
        if ranked[0].score > 0:
            text += ", but no unit of its own stands" if ranked[0].judgeable else ", but too little of it is measured"
    return text


def _missing(evidence: Evidence) -> str:
    if not evidence.unmeasurable:
        return ""
    return f"; judged without {' '.join(evidence.unmeasurable)}, which this engine cannot measure"


def _blind(ranked: Sequence[Evidence], rules: RuleSet) -> str:
    """Which labels the engine could not have found."""
    blind = [
        label for label in rules.labels for evidence in ranked if evidence.label == label and not evidence.judgeable
    ]
    return f"; {', '.join(blind)} cannot be told with what this engine measures" if blind else ""


def by_rules(work: Work, peak: Peak, measurable: Sequence[str]) -> Label | Skip:
    """The label of the table, else of the rules. Skip for a neutral clip that is not drawn into the neutral sample."""
    given = GivenLabel(work.clip.label, "table") if work.clip.label else None
    if work.run.settings.labels_from == "model":  # which may find a label where the rules find none
        return decide(peak, work.clip.name, work.run.rules, measurable, given, work.run.lexicon)
    return _kept(work, peak, measurable, given)


def final(work: Work, found: Label) -> Label:
    """The rules' label is the record's."""
    return found


def by_model(
    work: Work, found: Label, peak: Peak, measurable: Sequence[str], scores: Mapping[str, Mapping[str, float]]
) -> Label | Skip:
    """The label that the model finds likeliest for a clip that no table labels, if it is sure enough."""
    if found.source != "rules":
        return found
    # without a clue that the model can use, or a label that it is sure of, the rules' label remains
    given = GivenLabel.likeliest(scores["all"]) if scores.get("all") else None
    sure = given is not None and scores["all"][given.label] >= work.run.settings.label_least_share
    return _kept(work, peak, measurable, given if sure else None)


def _kept(work: Work, peak: Peak, measurable: Sequence[str], given: GivenLabel | None) -> Label | Skip:
    run = work.run
    found = decide(peak, work.clip.name, run.rules, measurable, given, run.lexicon)
    share = run.settings.neutral_sample
    drawn = fraction("neutral", run.settings.seed, work.clip.sha256) < share
    if found.label == run.rules.neutral.label and found.source != "table" and not drawn:
        return Skip(f"{found.reason}; not in the neutral sample of {share:.0%}")
    return found


RULES_LABEL: Stage[Label] = Stage(
    name="rules_label",
    purpose="the label by rules or table; neutral clips end here, but for a sample",
    compute=by_rules,
    needs=("peak", "measurable"),
    settings=("neutral_sample", "seed", "labels_from"),
)
STAGE: Stage[Label] = Stage(
    name="label",
    purpose="the pseudo-label",
    compute=final,
    needs=("rules_label",),
    settings=("labels_from", "label_least_share"),
)
FROM_MODEL = replace(
    STAGE,
    compute=by_model,
    needs=("rules_label", "peak", "measurable", "label_scores"),
)
