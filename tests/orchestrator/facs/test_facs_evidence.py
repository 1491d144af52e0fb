"""What the rule sets make of Action Units."""

from __future__ import annotations

import pytest

from merrflow.facs import action_units, load_rules
from merrflow.facs.evidence import judge

DEFAULT = load_rules("default")
MERR = load_rules("merr")
ALL = tuple(action_units())
# what blendshapes can tell of; the lids, the nose and the tightened lips are not among it
PROXIES = ("AU01", "AU02", "AU04", "AU06", "AU07", "AU12", "AU14", "AU15", "AU17", "AU25", "AU26", "AU45")


def label(rules, intensity: dict[str, float], measurable=ALL, present=None) -> str:
    best = judge(rules, present or set(intensity), intensity, measurable)[0]
    return best.label if best.is_met else rules.neutral.label


@pytest.mark.parametrize(
    ("rule", "prototype"),
    [(rule, prototype) for rule in DEFAULT.rules for prototype in rule.prototypes],
    ids=lambda value: getattr(value, "label", None) or "+".join(value.core),
)
def test_each_prototype_alone_and_pronounced_gives_its_label(rule, prototype) -> None:
    intensity = {code: max(2.0, prototype.at_least.get(code, 0.0)) for code in prototype.core}
    assert label(DEFAULT, intensity) == rule.label


@pytest.mark.parametrize("speech", [{"AU25": 3.0}, {"AU26": 3.0}, {"AU25": 5.0, "AU26": 5.0, "AU45": 5.0}])
@pytest.mark.parametrize("measurable", [ALL, PROXIES])
def test_speaking_and_blinking_make_no_label(speech, measurable) -> None:
    assert label(DEFAULT, speech, measurable) == "neutral"


@pytest.mark.parametrize("code", ["AU01", "AU02", "AU04", "AU07", "AU10", "AU17", "AU23"])
def test_one_unit_that_serves_many_expressions_makes_no_label(code: str) -> None:
    assert label(DEFAULT, {code: 5.0}) == "neutral"


def test_intensity_decides() -> None:
    assert label(DEFAULT, {"AU12": 0.5}) == "neutral"
    assert label(DEFAULT, {"AU12": 3.0}) == "happy"
    # the stronger of two expressions wins, whichever way round
    assert label(DEFAULT, {"AU06": 3, "AU12": 3, "AU04": 0.5, "AU15": 0.5}) == "happy"
    assert label(DEFAULT, {"AU06": 0.5, "AU12": 0.5, "AU01": 2, "AU04": 3, "AU15": 3}) == "sad"


def test_the_more_specific_combination_wins() -> None:
    assert label(DEFAULT, {"AU01": 1.5, "AU02": 1.5, "AU05": 1.5}) == "surprise"
    assert label(DEFAULT, {"AU01": 1.5, "AU02": 1.5, "AU05": 1.5, "AU04": 1.5, "AU20": 1.5}) == "fear"


def test_a_score_that_just_reaches_the_threshold_is_enough() -> None:
    smile = {"AU06": 2.0, "AU12": 2.0}
    score = judge(DEFAULT, set(smile), smile, ALL)[0].score
    for threshold, is_met in ((score, True), (score + 1e-9, False)):
        best = judge(DEFAULT.model_copy(update={"threshold": threshold}), set(smile), smile, ALL)[0]
        assert (best.label, best.is_met) == ("happy", is_met)


def test_units_without_intensity_count_as_traces() -> None:
    best = judge(DEFAULT, {"AU04", "AU28"}, {"AU04": 1.0}, ALL)[0]
    assert (best.label, best.is_met) == ("worried", True)


def test_an_unmeasurable_unit_is_named_and_never_lowers_the_bar_to_speech() -> None:
    surprise = next(e for e in judge(DEFAULT, {"AU26"}, {"AU26": 5.0}, PROXIES) if e.label == "surprise")
    assert not surprise.is_met  # AU05+AU26 without AU05 would be talking
    assert "AU05" in surprise.unmeasurable
    # fear is judged on what is left of its combinations
    brows = {"AU01": 3.0, "AU02": 3.0, "AU04": 3.0}
    best = judge(DEFAULT, set(brows), brows, PROXIES)[0]
    assert best.label == "fear"
    assert best.score == pytest.approx(3 * 3 / 4)  # AU01+AU02+AU04+AU05 at three quarters of its weight


def test_a_whole_prototype_goes_before_the_rest_of_another() -> None:
    """AU01+AU02+AU27 without AU27 must not turn raised brows into surprise."""
    without = tuple(code for code in ALL if code != "AU27")
    assert label(DEFAULT, {"AU01": 2.4, "AU02": 0.3, "AU25": 1.3}, without) != "surprise"


def test_a_label_that_cannot_be_judged_says_so() -> None:
    found = judge(DEFAULT, {"AU14"}, {"AU14": 3.0}, ("AU01", "AU02"))
    assert not next(e for e in found if e.label == "happy").judgeable
    assert not any(e.is_met for e in found)


@pytest.mark.parametrize(
    ("present", "expected"),
    [
        ({"AU05", "AU26"}, "surprise"),  # the method's example
        ({"AU25"}, "doubt"),
        ({"AU20", "AU04"}, "worried"),
        ({"AU04"}, "sad"),
        ({"AU10", "AU12", "AU15", "AU17"}, "contempt"),
        ({"AU10", "AU12", "AU15"}, "happy"),  # contempt needs all four
        ({"AU01", "AU02", "AU04", "AU05", "AU26"}, "fear"),
        ({"AU01", "AU02", "AU05", "AU26"}, "surprise"),  # fear needs five
        ({"AU09"}, "neutral"),
        (set(), "neutral"),
    ],
)
def test_published_rules(present: set[str], expected: str) -> None:
    best = judge(MERR, present, {}, ALL)[0]
    assert (best.label if best.is_met else "neutral") == expected


def test_published_minimum_shrinks_with_what_can_be_measured() -> None:
    without = tuple(code for code in ALL if code not in ("AU05", "AU20"))
    fear = {e.label: e for e in judge(MERR, {"AU01", "AU02", "AU04", "AU07"}, {}, without)}["fear"]
    assert fear.is_met  # 4 of the 5 that can be measured, as 5 of 7
    assert fear.unmeasurable == ("AU05", "AU20")
    fear = {e.label: e for e in judge(MERR, {"AU01", "AU02", "AU04"}, {}, without)}["fear"]
    assert not fear.is_met
