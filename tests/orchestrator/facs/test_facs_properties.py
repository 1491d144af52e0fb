"""What holds for every sound rule set and every face."""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from merrflow.core.measurements import Peak
from merrflow.facs import load_lexicon, load_rules, packaged_rules
from merrflow.facs.evidence import judge
from merrflow.stages import label
from tests.orchestrator.facs.rule_sets import CODES, intensities, measurable, present, rule_sets

UNIT = re.compile(r"AU\d\d")
any_set = st.one_of(rule_sets(), st.sampled_from([load_rules(name) for name in packaged_rules()]))
quick = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


def peak(units, intensity) -> Peak:
    return Peak(0, 0.0, tuple(units), intensity, tuple(units)[:2], 0.0, "")


@quick
@given(rules=any_set, units=present, can=measurable, data=st.data())
def test_any_sound_set_decides_for_any_face(rules, units, can, data) -> None:
    intensity = data.draw(intensities(units))
    found = label.decide(peak(sorted(units), intensity), "clip", rules, can)
    assert found.label in rules.labels
    assert found.ruled == found.label
    assert found.source == "rules"
    assert set(found.action_units) <= units
    assert found.reason.startswith(f"{found.label}: ")
    lexicon = rules.phrases()
    assert len(found.expressions) == len(found.action_units)
    assert all(p in lexicon.phrases[code] for code, p in zip(found.action_units, found.expressions, strict=True))
    assert list(found.scores.values()) == sorted(found.scores.values(), reverse=True)
    if found.label != rules.neutral.label:
        assert found.supported is True
        assert found.action_units  # a label always has a unit that shows it
        told = UNIT.findall(found.reason.removeprefix(f"{found.label}: ").split(" of ")[0])
        assert (
            tuple(told)
            == found.action_units
            == tuple(code for code in rules.rule(found.label).action_units if code in units)
        )


@quick
@given(rules=any_set, units=present, can=measurable, data=st.data())
def test_the_order_of_units_never_matters(rules, units, can, data) -> None:
    intensity = data.draw(intensities(units))
    other = data.draw(st.permutations(sorted(units)))
    shuffled = data.draw(st.permutations(sorted(can)))
    first = judge(rules, sorted(units), intensity, can)
    second = judge(rules, set(other), dict(reversed(intensity.items())), shuffled)
    assert first == second


@quick
@given(rules=any_set, units=present, can=measurable, data=st.data())
def test_a_given_label_wins_and_the_rules_word_stays_beside_it(rules, units, can, data) -> None:
    word = data.draw(st.sampled_from(rules.labels))
    source = data.draw(st.sampled_from(["table", "model"]))
    at = peak(sorted(units), {})
    alone = label.decide(at, "clip", rules, can)
    found = label.decide(at, "clip", rules, can, label.GivenLabel(word.upper(), source))
    assert (found.label, found.source, found.ruled) == (word, source, alone.label)
    assert found.scores == alone.scores
    if word == alone.label:
        assert "the rules agree" in found.reason
        assert found.action_units == alone.action_units
    else:
        assert f"the rules say {alone.label}" in found.reason


@quick
@given(rules=rule_sets("first"), units=present)
def test_where_all_is_measured_so_many_of_stands_literally(rules, units) -> None:
    for evidence in judge(rules, units, {}, CODES):
        rule = rules.rule(evidence.label)
        assert evidence.is_met == (len(units & set(rule.action_units)) >= rule.minimum)


@quick
@given(rules=rule_sets("first"))
def test_in_a_sound_ordered_set_every_label_can_win(rules) -> None:
    for rule in rules.rules:
        faces = combinations(rule.action_units, rule.minimum)
        assert any(judge(rules, face, {}, CODES)[0].label == rule.label for face in faces)


@quick
@given(units=present, hidden=st.frozensets(st.sampled_from(CODES), max_size=4))
def test_an_unmeasured_unit_counts_by_its_base_rate(units, hidden) -> None:
    """Against all ways the hidden units could have been, weighed by their rates: the mean of the log odds."""
    rules = load_rules("calibrated")
    can = [code for code in CODES if code not in hidden]
    seen = units - hidden
    asked = sorted(hidden & set(rules.base_rates))
    found = {evidence.label: evidence.score for evidence in judge(rules, seen, {}, can)}
    for rule in rules.rules:
        mean = 0.0
        for bits in range(2 ** len(asked)):
            extra = {code for place, code in enumerate(asked) if bits >> place & 1}
            chance = np.prod([rules.base_rates[c] if c in extra else 1 - rules.base_rates[c] for c in asked])
            whole = judge(rules, seen | extra, {}, CODES)
            mean += chance * next(evidence.score for evidence in whole if evidence.label == rule.label)
        assert found[rule.label] == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize("name", ["default", "merr"])
def test_phrases_are_stable_and_spread_evenly_over_clips(name: str) -> None:
    lexicon = load_lexicon(name)
    for code, phrases in lexicon.phrases.items():
        drawn = [lexicon.draw(f"samplenew_{number:08}", code) for number in range(1200)]
        assert drawn == [lexicon.draw(f"samplenew_{number:08}", code) for number in range(1200)]
        counts = Counter(drawn)
        assert set(counts) == set(phrases)
        if len(phrases) > 1:
            assert chisquare(list(counts.values())).pvalue > 1e-4, (code, counts)


def test_phrases_of_two_units_are_drawn_independently() -> None:
    lexicon = load_lexicon("merr")
    pairs = Counter(lexicon.draw_all(f"clip {number}", ("AU01", "AU05")) for number in range(2500))
    assert len(pairs) == 25
    assert chisquare(list(pairs.values())).pvalue > 1e-4
