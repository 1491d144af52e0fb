"""Rule sets alone on stored Action Units, and the figures that docs/evaluation.md gives for the published ones."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from merrflow.core.errors import InputError
from merrflow.core.fingerprint import file_sha256
from merrflow.datasets.evaluation.ceilings import Bound
from merrflow.datasets.evaluation.measures import Share
from merrflow.datasets.evaluation.rulesets import RulesReport, evaluate_rules, load_rule_sets
from merrflow.datasets.evaluation.tables import percent
from merrflow.formats.merr import read_annotations
from tests.orchestrator.datasets.evaluation.annotations import one
from tests.paths import ROOT, SHARED

PUBLISHED = SHARED / "merr" / "merr_fine_grained.half.json"
GUIDE = ROOT / "docs" / "evaluation.md"
published = pytest.mark.skipif(not PUBLISHED.is_file(), reason="no published annotations in ../shared/merr")


def test_a_rule_set_gets_nothing_but_the_peak_set() -> None:
    annotations = {
        "a": one("a", "happy", units=("AU06", "AU12"), phrases=("Cheek Raiser", "Big smile")),
        "b": one("b", "sad", peak_units=("AU14",), units=("AU15",)),  # as published; the rules say happy
        "c": one("c", "neutral", peak_units=(), units=("AU04",)),
        "d": one("d", "Anger", peak_units=("AU04", "AU07"), units=("AU04",)),  # the rules say sad
    }
    report = evaluate_rules(load_rule_sets(["merr"]), annotations, "f.json")
    (merr,) = report.rule_sets
    assert (report.records, report.without_units) == (4, 1)
    assert merr.labels.accuracy == Share(2, 4)
    assert merr.labels.non_neutral == Share(1, 3)
    # given the label: a and b, not d, of which AU07 is missing; in the erratum's words too
    assert (merr.given_label.same_set, merr.given_label.as_written) == (Share(2, 3), Share(2, 3))
    # given what the rules say: a and b have the same units; d has AU04 from sad as well
    assert (merr.ruled_label.same_set, merr.ruled_label.as_written) == (Share(3, 3), Share(2, 3))
    assert not merr.fitted_here and not merr.cross_validated
    shuffled = dict(reversed(annotations.items()))
    assert evaluate_rules(load_rule_sets(["merr"]), shuffled, "f.json") == report


def test_rule_sets_go_by_name_by_file_or_all() -> None:
    titles = [rules.name for rules in load_rule_sets(["all", "merr"])]
    assert len(titles) == len(set(titles)) and {"default", "merr"} <= set(titles)
    with pytest.raises(InputError, match="there is no rule set 'mer'"):
        load_rule_sets(["mer"])
    with pytest.raises(InputError, match="nowhere.yaml: cannot be read"):
        load_rule_sets(["nowhere.yaml"])


def test_what_cannot_be_measured_is_said() -> None:
    sets = load_rule_sets(["default"])
    with pytest.raises(InputError, match=r"f\.txt: has no peak_AU_list"):
        evaluate_rules(sets, {"a": one("a", peak_units=None)}, "f.txt")
    with pytest.raises(InputError, match=r"f\.json: clip 'a': unknown label 'bored'"):
        evaluate_rules(sets, {"a": one("a", "bored")}, "f.json")


@pytest.fixture(scope="module")
def report() -> RulesReport:
    return evaluate_rules(load_rule_sets(["all"]), read_annotations(PUBLISHED), PUBLISHED, file_sha256(PUBLISHED))


@published
def test_given_label_and_peak_the_list_is_the_published_one(report: RulesReport) -> None:
    (merr,) = [measures for measures in report.rule_sets if measures.rules.startswith("merr ")]
    for agreement in (merr.given_label.same_set, merr.given_label.as_written):
        assert agreement.total == 1591
        assert agreement.value is not None and agreement.value >= 0.97


@published
def test_every_published_phrase_is_in_the_lexicon_of_its_unit(report: RulesReport) -> None:
    phrases = report.phrases
    assert report.lexicon == "merr"
    assert (phrases.phrases, phrases.unknown) == (3816, 0)
    assert (phrases.misspelt, phrases.errata) == (13, 107)


@published
def test_the_ceiling_is_that_of_a_plain_count(report: RulesReport) -> None:
    """By another route: count the labels of each exact set in the raw file."""
    raw = json.loads(PUBLISHED.read_text(encoding="utf-8")).values()
    by_set: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for values in raw:
        by_set[" ".join(sorted(values["peak_AU_list"]))][values["pseu_emotion"]] += 1
    best = sum(max(counts.values()) for counts in by_set.values())
    assert report.limits.all.ceiling.mean == pytest.approx(best / len(raw))
    assert report.limits.sets == len(by_set)


@published
def test_a_set_fitted_to_this_file_is_told(report: RulesReport) -> None:
    for measures in report.rule_sets:
        assert measures.fitted_here == (measures.rules.split()[0] == "calibrated")
        assert bool(measures.cross_validated) == measures.fitted_here


@published
def test_the_guide_gives_the_figures_as_measured(report: RulesReport) -> None:
    rows = dict(re.findall(r"^\| ([^|]+?) \| (.+?) \|$", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    wanted = {}
    for measures in report.rule_sets:
        labels, name = measures.labels, measures.rules.split()[0]
        values = [labels.accuracy.value, labels.non_neutral.value, labels.balanced]
        lists = [measures.given_label.same_set.value, measures.ruled_label.same_set.value]
        fitted = ", on what it was fitted to" if measures.fitted_here else ""
        wanted[f"`{name}`{fitted}"] = [*map(percent, values), *map(percent, lists)]
        if measures.cross_validated:
            figures = [measures.cross_validated[key] for key in ("all", "non_neutral", "balanced")]
            wanted[f"`{name}`, cross-validated"] = [*map(bound, figures), "", ""]
    for name, key in (
        ("one label for all, at best", "majority"),
        ("best function of the exact set, cross-validated", "lookup"),
        ("ceiling: the same, in-sample", "ceiling"),
    ):
        limits = [report.limits.all, report.limits.non_neutral, report.limits.balanced]
        wanted[name] = [*(bound(getattr(limit, key)) for limit in limits), "", ""]
    text = "\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in wanted.items())
    for name, cells in wanted.items():
        assert [cell.strip() for cell in rows.get(name, "").split("|")] == cells, f"the table is now\n{text}"
    (merr,) = [measures for measures in report.rule_sets if measures.rules.startswith("merr ")]
    guide = " ".join(GUIDE.read_text(encoding="utf-8").split())
    phrases, limits = report.phrases, report.limits
    assert f"{percent(merr.given_label.same_set.value)} the same units" in guide
    assert f"{percent(merr.given_label.as_written.value)} the same list as written" in guide
    assert f"All {phrases.phrases:,} published phrases" in guide
    assert f"{phrases.in_lexicon:,} as they are, {phrases.misspelt} mis-spelt by a letter, {phrases.errata}" in guide
    assert f"{limits.single} of the {limits.sets:,} sets occur once" in guide


def bound(value: Bound) -> str:
    return percent(value.mean) + ("" if value.spread is None else f" ±{100 * value.spread:.1f}")


def test_a_label_is_known_by_any_of_the_sets(tmp_path: Path) -> None:
    """disgust is no label of `merr`, but one of the default set."""
    found = evaluate_rules(load_rule_sets(["merr"]), {"a": one("a", "disgust")}, "f.json")
    assert found.rule_sets[0].labels.accuracy == Share(0, 1)
    assert found == evaluate_rules(load_rule_sets(["merr"]), {"a": replace(one("a"), label="Disgusted")}, "f.json")
