"""Labels, given or found."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from merrflow.core.measurements import Clip, Peak
from merrflow.core.settings import RunSettings
from merrflow.facs import UnknownLabel, load_lexicon, load_rules
from merrflow.stages import label
from merrflow.stages.stage import Skip
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
    found = label.decide(peak(intensity), "clip", DEFAULT, ALL, given=label.GivenLabel(given, "table"))
    assert (found.label, found.source) == (expected, "table")
    assert found.reason.startswith(f"{expected}: given in the table; ")
    assert part in found.reason


def test_a_given_label_takes_its_own_units() -> None:
    found = label.decide(
        peak({}, ("AU01", "AU04", "AU25")), "clip", MERR, ALL, given=label.GivenLabel("angry", "table")
    )
    assert (found.label, found.action_units) == ("angry", ("AU04",))
    neutral = label.decide(peak({}, ("AU04", "AU25")), "clip", MERR, ALL, given=label.GivenLabel("neutral", "table"))
    assert neutral.action_units == ("AU04",)  # as in the published neutral records


def test_a_label_of_the_model_comes_with_its_probability_and_is_checked_likewise() -> None:
    given = label.GivenLabel.likeliest({"angry": 0.2, "sad": 0.62, "neutral": 0.18})
    assert given == label.GivenLabel("sad", "model", "probability 0.62 of 3 labels")
    found = label.decide(peak({"AU06": 2, "AU12": 2}), "clip", DEFAULT, ALL, given=given)
    assert (found.label, found.source, found.ruled, found.supported) == ("sad", "model", "happy", False)
    assert found.reason.startswith(
        "sad: given by the model (probability 0.62 of 3 labels); not supported enough, only AU06 of"
    )
    assert "; the rules say happy; judged without AU11" in found.reason


def test_a_tie_in_the_distribution_is_decided_by_the_alphabet() -> None:
    first = label.GivenLabel.likeliest({"sad": 0.5, "happy": 0.5})
    assert first == label.GivenLabel.likeliest({"happy": 0.5, "sad": 0.5})
    assert first.label == "happy"
    with pytest.raises(ValueError, match="without a label"):
        label.GivenLabel.likeliest({})


def test_support_is_of_the_labels_own_rule() -> None:
    # sad stands too, although happy comes first in the order of `merr`
    found = label.decide(peak({}, ("AU04", "AU12")), "clip", MERR, ALL, given=label.GivenLabel("sad", "table"))
    assert (found.ruled, found.supported, found.action_units) == ("happy", True, ("AU04",))
    alone = label.decide(peak({"AU04": 1}), "clip", DEFAULT, ALL, given=label.GivenLabel("sad", "table"))
    assert (alone.ruled, alone.supported) == ("neutral", False)
    blind = label.decide(peak({}), "clip", DEFAULT, ("AU25",), given=label.GivenLabel("happy", "table"))
    assert blind.supported is None
    assert "happy" not in blind.scores
    calm = label.GivenLabel("neutral", "table")
    assert label.decide(peak({}), "clip", DEFAULT, ALL, given=calm).supported is True
    assert label.decide(peak({"AU06": 2, "AU12": 2}), "clip", DEFAULT, ALL, given=calm).supported is False
    assert label.decide(peak({}), "clip", DEFAULT, ("AU25",), given=calm).supported is None


def test_scores_rank_the_labels() -> None:
    found = label.decide(peak({"AU01": 1, "AU02": 1, "AU05": 1}), "clip", DEFAULT, ALL)
    assert next(iter(found.scores)) == "surprise"
    assert set(found.scores) == set(DEFAULT.labels) - {"neutral"}
    assert list(found.scores.values()) == sorted(found.scores.values(), reverse=True)


def test_disgusts_units_are_the_list_of_a_neutral_clip_as_published() -> None:
    units = ("AU04", "AU09", "AU15", "AU20")
    found = label.decide(peak({}, units), "clip", MERR, ALL, given=label.GivenLabel("neutral", "table"))
    assert found.action_units == ("AU09", "AU15", "AU20")
    assert label.decide(peak({}, units), "clip", MERR, ALL).label == "worried"


def test_calibrated_weights() -> None:
    rules = load_rules("calibrated")
    smile = label.decide(peak({}, ("AU06", "AU12", "AU14")), "clip", rules, ALL)
    assert (smile.label, smile.action_units) == ("happy", ("AU06", "AU12", "AU14"))
    odds = -1.94 + 0.98 + 2.01 + 1.02  # of facs/rulesets/calibrated.yaml
    assert smile.scores["happy"] == pytest.approx(odds)
    assert smile.reason.startswith(
        f"happy: AU06, AU12, AU14 of AU06 AU12 AU14 AU25 AU26; log odds against neutral {odds:.2f}, nothing else"
    )
    for spoken in (("AU25",), ("AU26",), ("AU25", "AU26"), ("AU25", "AU26", "AU45")):
        found = label.decide(peak({}, spoken), "clip", rules, ALL)
        assert (found.label, found.action_units) == ("neutral", ())
    brow = label.decide(peak({}, ("AU10",)), "clip", rules, ALL)
    assert brow.label == "neutral"
    assert "AU10 at the peak makes no label; nearest angry, log odds against neutral -0.53" in brow.reason


def test_an_empty_label_is_none() -> None:
    assert label.decide(peak({}), "clip", DEFAULT, ALL, given=label.GivenLabel(" ", "table")).source == "rules"


def test_an_unknown_label_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownLabel, match=r"'bored': the rule set default 2 has neutral, happy"):
        label.decide(peak({}), "clip", DEFAULT, ALL, given=label.GivenLabel("bored", "table"))


@pytest.mark.parametrize(
    ("share", "least", "expected"),
    [
        (0.41, 0.4, ("sad", "model")),
        (0.4, 0.4, ("sad", "model")),
        (0.39, 0.4, ("happy", "rules")),
        (0.19, 0.4, ("happy", "rules")),
        (0.19, 0.1, ("sad", "model")),
    ],
)
def test_the_model_labels_from_a_least_share_on_else_the_rules_label_stays(share, least, expected, tmp_path) -> None:
    smiling = peak({"AU06": 2, "AU12": 2})
    work = by_model_work(tmp_path, least)
    found = label.by_rules(work, smiling, ALL)
    others = {name: (1 - share) / (len(DEFAULT.labels) - 1) for name in DEFAULT.labels if name != "sad"}
    given = label.by_model(work, found, smiling, ALL, {"all": {**others, "sad": share}})
    assert (given.label, given.source) == expected


def test_the_model_may_label_what_the_rules_call_neutral_and_what_it_is_not_sure_of_ends_there(tmp_path) -> None:
    work, calm = by_model_work(tmp_path, 0.4), peak({})
    found = label.by_rules(work, calm, ALL)
    assert not isinstance(found, Skip) and found.label == "neutral"  # goes on, to be weighed
    sure = label.by_model(work, found, calm, ALL, {"all": {"sad": 0.6, "neutral": 0.4}})
    assert (sure.label, sure.source, sure.ruled) == ("sad", "model", "neutral")
    unsure = label.by_model(work, found, calm, ALL, {"all": {"sad": 0.3, "neutral": 0.25}})
    assert isinstance(unsure, Skip) and "not in the neutral sample" in unsure.reason


def by_model_work(folder: Path, least: float) -> Any:
    """What the stage reads of a run, and nothing else."""
    settings = RunSettings(labels_from="model", label_least_share=least, neutral_sample=0.0)
    run = SimpleNamespace(settings=settings, rules=DEFAULT, lexicon=DEFAULT.phrases())
    return SimpleNamespace(clip=Clip("clip", folder / "clip.mp4", "ab" * 32, None, None), run=run)
