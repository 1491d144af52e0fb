"""Labels, given or found."""

from __future__ import annotations

import pytest

from merrflow.facs import UnknownLabel, load_lexicon, load_rules
from merrflow.stages import label
from merrflow.types import Peak
from tests.orchestrator.stages.faces import ALL

MERR = load_rules("merr")
DEFAULT = load_rules("default")


def peak(intensity: dict[str, float], present: tuple[str, ...] | None = None) -> Peak:
    units = tuple(sorted(intensity if present is None else present))
    return Peak(3, 0.12, units, intensity, units[:2], sum(intensity.values()), "")


def test_the_published_example() -> None:
    found = label.decide(peak({"AU05": 0.36, "AU26": 1.02}), "clip", MERR, ALL)
    assert (found.label, found.source, found.rules) == ("surprise", "rules", "merr 1")
    assert found.action_units == ("AU05", "AU26")
    assert found.reason.startswith("surprise: AU05, AU26 of AU01 AU02 AU05 AU26")
    lexicon = load_lexicon("merr")
    assert "Eyes widened" in lexicon.phrases["AU05"]
    assert "Wide-mouthed" in lexicon.phrases["AU26"]
    for unit, phrase in zip(found.action_units, found.expressions, strict=True):
        assert phrase in lexicon.phrases[unit]


def test_the_order_is_the_published_one() -> None:
    found = label.decide(peak({}, ("AU01", "AU02", "AU04", "AU05", "AU26")), "clip", MERR, ALL)
    assert (found.label, found.action_units) == ("fear", ("AU05", "AU02", "AU26", "AU01", "AU04"))


def test_the_same_clip_gets_the_same_words_and_another_gets_others() -> None:
    at = peak({"AU01": 2, "AU02": 2, "AU05": 2, "AU26": 2})
    words = {name: label.decide(at, name, DEFAULT, ALL).expressions for name in ("a", "b", "c", "d")}
    assert words["a"] == label.decide(at, "a", DEFAULT, ALL).expressions
    assert len(set(words.values())) > 1


def test_scores_and_the_next_best_are_in_the_reason() -> None:
    found = label.decide(peak({"AU01": 1, "AU02": 1, "AU05": 1}), "clip", DEFAULT, ALL)
    assert found.label == "surprise"
    assert found.reason.startswith("surprise: AU01, AU02, AU05 of AU01 AU02 AU05 AU25 AU26 AU27; score 1.02, next ")


def test_neutral_says_why() -> None:
    assert label.decide(peak({}), "clip", DEFAULT, ALL).reason.startswith(
        "neutral: no expressive Action Unit stands at the peak"
    )
    spoken = label.decide(peak({"AU25": 2, "AU26": 1}), "clip", DEFAULT, ALL)
    assert (spoken.label, spoken.action_units, spoken.expressions) == ("neutral", (), ())
    assert "(only AU25 AU26, of speech or blinking)" in spoken.reason
    frown = label.decide(peak({"AU04": 1}), "clip", DEFAULT, ALL)
    assert (frown.label, frown.action_units) == ("neutral", ("AU04",))
    assert "AU04 at the peak makes no label" in frown.reason


def test_what_cannot_be_measured_is_said() -> None:
    proxies = tuple(code for code in ALL if code not in ("AU05", "AU09", "AU20", "AU23"))
    found = label.decide(peak({"AU01": 2, "AU02": 2, "AU26": 2}), "clip", DEFAULT, proxies)
    assert found.label == "surprise"
    assert "judged without AU05 AU27, which this engine cannot measure" in found.reason
    nothing = label.decide(peak({}), "clip", DEFAULT, ("AU01", "AU25"))
    assert "cannot be told with what this engine measures" in nothing.reason


@pytest.mark.parametrize(
    ("given", "intensity", "expected", "part"),
    [
        ("Surprised", {"AU01": 2, "AU02": 2, "AU05": 2}, "surprise", "supported by AU01, AU02, AU05 of"),
        (
            "surprise",
            {"AU06": 2, "AU12": 2},
            "surprise",
            "not supported, none of AU01 AU02 AU05 AU25 AU26 AU27 stands",
        ),
        ("sad", {"AU04": 1}, "sad", "not supported enough, only AU04 of"),
        ("neutral", {"AU06": 2, "AU12": 2}, "neutral", "the rules say happy: AU06, AU12 of"),
        ("neutral", {}, "neutral", "the rules agree"),
    ],
)
def test_a_given_label_wins_and_is_checked(given, intensity, expected, part) -> None:
    found = label.decide(peak(intensity), "clip", DEFAULT, ALL, given=given)
    assert (found.label, found.source) == (expected, "table")
    assert found.reason.startswith(f"{expected}: given in the table; ")
    assert part in found.reason


def test_a_given_label_takes_its_own_units() -> None:
    found = label.decide(peak({}, ("AU01", "AU04", "AU25")), "clip", MERR, ALL, given="angry")
    assert (found.label, found.action_units) == ("angry", ("AU04",))
    neutral = label.decide(peak({}, ("AU04", "AU25")), "clip", MERR, ALL, given="neutral")
    assert neutral.action_units == ("AU04",)  # as in the published neutral records


def test_an_empty_label_is_none() -> None:
    assert label.decide(peak({}), "clip", DEFAULT, ALL, given=" ").source == "rules"


def test_an_unknown_label_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownLabel, match=r"'bored': the rule set default 1 has neutral, happy"):
        label.decide(peak({}), "clip", DEFAULT, ALL, given="bored")
