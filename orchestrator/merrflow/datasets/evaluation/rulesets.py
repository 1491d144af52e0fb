"""A rule set alone, on the Action Units that a MERR file stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from merrflow.core.errors import InputError
from merrflow.datasets.evaluation.ceilings import Bound, LabelCeilings, measure_ceilings
from merrflow.datasets.evaluation.labels import LabelMeasures, measure_labels, normal
from merrflow.datasets.evaluation.lists import PhraseMeasures, best_lexicon, corrected_units, measure_phrases
from merrflow.datasets.evaluation.measures import Share, share
from merrflow.datasets.evaluation.units import told_units
from merrflow.facs import DataFileError, RuleSet, load_lexicon, load_rules, packaged_rules
from merrflow.facs.calibrate import predict
from merrflow.facs.units import openface_units
from merrflow.formats.merr import MerrAnnotation

ALL = "all"  # in place of a name: every rule set of the package


@dataclass(frozen=True)
class Agreement:
    """AU_list made by a rule set, against the file's, over the records that are not neutral there."""

    same_set: Share  # the same units, with the file's erratum put right
    as_written: Share  # the same list in the same order, with the erratum, if the rule set has it


@dataclass(frozen=True)
class RuleSetMeasures:
    """One rule set, from the file's peak_AU_list alone: no intensity, for MERR stores none."""

    rules: str  # name and version
    labels: LabelMeasures
    fitted_here: bool  # its weights were fitted to this very file, so that `labels` looks better than it is
    cross_validated: Mapping[str, Bound]  # figure -> what its file says of records it was not fitted to
    given_label: Agreement  # the units of the file's label that are present at the peak
    ruled_label: Agreement  # the units of the label that the rule set gives; none for neutral


@dataclass(frozen=True)
class RulesReport:
    """Rule sets side by side on one file."""

    records: int  # with a peak set and a label
    without_units: int  # records without a unit at the peak
    lexicon: str  # the one that knows most of the file's phrases
    phrases: PhraseMeasures
    limits: LabelCeilings  # as evaluation.json calls them
    rule_sets: tuple[RuleSetMeasures, ...]


def load_rule_sets(names: Sequence[str]) -> tuple[RuleSet, ...]:
    """Rule sets by name or path, each once; "all" means those of the package. Raises InputError."""
    wanted = [each for name in names for each in (packaged_rules() if name == ALL else [name])]
    try:
        return tuple(load_rules(name) for name in dict.fromkeys(wanted))
    except DataFileError as error:
        raise InputError(str(error)) from error


def evaluate_rules(
    rule_sets: Sequence[RuleSet], annotations: Mapping[str, MerrAnnotation], where: Path | str, sha256: str = ""
) -> RulesReport:
    """Measures each rule set on the file's peak sets, whatever the order of its clips.

    `where`, `sha256`: the file's path and the hash of its bytes, to know a rule set that was fitted to it. Raises
    InputError if the file has no peak sets, or a label that no one knows.
    """
    found = [annotations[name] for name in sorted(annotations)]
    records = [one for one in found if one.peak_units is not None and one.label]
    if not records:
        raise InputError(f"{where}: has no peak_AU_list, which rule sets are measured on; give MERR's JSON")
    first = rule_sets[0]
    usual = [replace(one, label=normal(one, [*rule_sets, load_rules()], (), where)) for one in records]
    lexicon = best_lexicon(usual)
    return RulesReport(
        records=len(records),
        without_units=sum(not one.peak_units for one in records),
        lexicon=lexicon,
        phrases=measure_phrases(usual, load_lexicon(lexicon)),
        limits=measure_ceilings(
            [frozenset(one.peak_units or ()) for one in usual], [one.label or "" for one in usual], first.neutral.label
        ),
        rule_sets=tuple(_measure(rules, records, where, sha256) for rules in rule_sets),
    )


def _measure(rules: RuleSet, records: Sequence[MerrAnnotation], where: Path | str, sha256: str) -> RuleSetMeasures:
    records = [replace(one, label=normal(one, [rules, load_rules()], (), where)) for one in records]
    measurable = told_units(records) | set(openface_units())
    ruled = predict(rules, [frozenset(one.peak_units or ()) for one in records], sorted(measurable))
    given = [one.label or "" for one in records]
    measures = measure_labels(given, ruled, rules.neutral.label)
    assert measures is not None  # there are records
    return RuleSetMeasures(
        rules=rules.title,
        labels=measures,
        fitted_here=rules.fit is not None and rules.fit.sha256 == sha256,
        cross_validated=_cross_validated(rules),
        given_label=_agreement(rules, records, given),
        ruled_label=_agreement(rules, records, ruled),
    )


def _cross_validated(rules: RuleSet) -> dict[str, Bound]:
    if rules.fit is None:
        return {}
    figures = {"all": rules.fit.accuracy, "non_neutral": rules.fit.non_neutral, "balanced": rules.fit.balanced}
    return {name: Bound(measured.mean, measured.spread) for name, measured in figures.items()}


def _agreement(rules: RuleSet, records: Sequence[MerrAnnotation], labels: Sequence[str]) -> Agreement:
    sets, lists = [], []
    for one, label in zip(records, labels, strict=True):
        if one.label == rules.neutral.label or one.units is None:
            continue
        rule = rules.rule(label)
        units = [unit for unit in rule.action_units if unit in (one.peak_units or ())] if rule else []
        sets.append(set(units) == set(corrected_units(one)))
        lists.append([rule.published_as.get(unit, unit) for unit in units] == list(one.units) if rule else False)
    return Agreement(share(sets), share(lists))
