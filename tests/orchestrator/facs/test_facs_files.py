"""The data files of facs/, and what the loader says of files with faults."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from merrflow.facs import DataFileError, UnknownLabel, action_units, expressive, load_lexicon, load_rules

SETS = ["calibrated", "default", "merr"]


@pytest.mark.parametrize("name", SETS)
def test_every_unit_a_rule_lists_has_phrases(name: str) -> None:
    rules = load_rules(name)
    lexicon = rules.phrases()
    for rule in rules.rules:
        assert not set(rule.action_units) - set(lexicon.phrases), rule.label


@pytest.mark.parametrize("name", SETS)
def test_merr_labels_are_all_there(name: str) -> None:
    labels = {"neutral", "angry", "happy", "sad", "worried", "surprise", "fear", "contempt", "doubt"}
    assert labels <= set(load_rules(name).labels)


def test_default_lexicon_covers_every_unit_and_names_each_movement_only_once() -> None:
    lexicon = load_lexicon("default")
    assert set(lexicon.phrases) == set(action_units())
    phrases = [phrase for entry in lexicon.phrases.values() for phrase in entry]
    assert len(set(phrases)) == len(phrases)
    assert not any("nostril" in phrase for phrase in lexicon.phrases["AU20"])  # that would be AU38


def test_units_of_speech_and_blinking_are_not_expressive() -> None:
    assert not any(expressive(code) for code in ("AU25", "AU26", "AU45"))
    assert all(expressive(code) for code in ("AU01", "AU12", "AU17", "AU99"))


def test_phrases_are_drawn_by_key_and_unit_alone() -> None:
    lexicon = load_lexicon("merr")
    # pinned: another machine or a later version must draw the same words for the same lexicon
    assert lexicon.draw_all("sample_00000338", ["AU04", "AU12"]) == lexicon.draw_all(
        "sample_00000338", ["AU04", "AU12"]
    )
    assert lexicon.draw("sample_00000338", "AU14") == "Cheek dimple"
    drawn = {lexicon.draw(f"clip {number}", "AU05") for number in range(100)}
    assert drawn == set(lexicon.phrases["AU05"])


def test_a_unit_without_phrase_is_an_error() -> None:
    with pytest.raises(ValueError, match="lexicon merr 1 has no phrase for AU45"):
        load_lexicon("merr").draw("a", "AU45")


@pytest.mark.parametrize(
    ("given", "label"), [("Anger", "angry"), (" HAPPY ", "happy"), ("Sadness", "sad"), ("calm", "neutral")]
)
@pytest.mark.parametrize("name", SETS)
def test_aliases_and_case(name: str, given: str, label: str) -> None:
    assert load_rules(name).normal(given) == label


def test_a_label_outside_the_set_names_itself_and_the_allowed_ones() -> None:
    with pytest.raises(UnknownLabel, match=r"'bored'.*default 2 has neutral, happy, surprise") as caught:
        load_rules("default").normal("bored")
    assert isinstance(caught.value, ValueError)


def test_an_unknown_rule_set_names_those_there_are() -> None:
    with pytest.raises(DataFileError, match="'meer': choose calibrated, default or merr"):
        load_rules("meer")


def published() -> dict:
    return yaml.safe_load((files("merrflow.facs") / "rulesets" / "merr.yaml").read_text(encoding="utf-8"))


def write(tmp_path: Path, data: dict) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def test_a_users_own_file_loads(tmp_path: Path) -> None:
    data = published() | {"name": "mine"}
    assert load_rules(write(tmp_path, data)).title == "mine 1"


def spoil_unit(data: dict) -> None:
    data["rules"][4]["action_units"][1] = "AU99"


def spoil_key(data: dict) -> None:
    data["rules"][4]["minimun"] = 1


def spoil_duplicate(data: dict) -> None:
    data["rules"][4]["label"] = "fear"


def spoil_alias(data: dict) -> None:
    data["rules"][4]["aliases"] = ["scared"]


def spoil_empty(data: dict) -> None:
    data["rules"][4]["action_units"] = []


def spoil_minimum(data: dict) -> None:
    data["rules"][4]["minimum"] = 9


def spoil_twice(data: dict) -> None:
    data["rules"][4]["action_units"] = ["AU01", "AU01"]


def spoil_mode(data: dict) -> None:
    data["rules"][4]["prototypes"] = [{"core": ["AU01"]}]


def spoil_speech(data: dict) -> None:
    data["rules"][4]["prototypes"] = [{"core": ["AU25", "AU26"]}]


def spoil_confidence(data: dict) -> None:
    data["peak"]["minimum_confidence"] = 70


def spoil_type(data: dict) -> None:
    data["peak"]["frequent"] = "two"


@pytest.mark.parametrize(
    ("spoil", "parts"),
    [
        (spoil_unit, ["'surprise' action_units", "unknown Action Unit 'AU99'"]),
        (spoil_key, ["'surprise' minimun: unknown key"]),
        (spoil_duplicate, ["'fear' occurs twice"]),
        (spoil_alias, ["'scared' occurs twice: at 'fear' and at 'surprise'"]),
        (spoil_empty, ["'surprise' action_units", "at least 1 item"]),
        (spoil_minimum, ["'surprise'", "minimum 9 of 4 units can never be met"]),
        (spoil_twice, ["'surprise'", "AU01 occurs twice"]),
        (spoil_mode, ["'surprise'", "need decide: score"]),
        (spoil_speech, ["'surprise' prototypes [0]", "AU25 AU26: units of speech and blinking alone"]),
        (spoil_confidence, ["peak minimum_confidence", "less than or equal to 1", "70"]),
        (spoil_type, ["peak frequent", "valid integer", "'two'"]),
    ],
)
def test_faults_name_file_line_rule_and_value(tmp_path: Path, spoil, parts: list[str]) -> None:
    data = published()
    spoil(data)
    path = write(tmp_path, data)
    with pytest.raises(DataFileError) as caught:
        load_rules(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line ")
    for part in parts:
        assert part in message


def test_the_line_is_the_one_at_fault(tmp_path: Path) -> None:
    data = published()
    spoil_unit(data)
    path = write(tmp_path, data)
    line = 1 + next(i for i, text in enumerate(path.read_text().splitlines()) if "AU99" in text)
    with pytest.raises(DataFileError, match=f"line {line}: "):
        load_rules(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "not valid YAML"),
        ("- a\n- b\n", "must hold a mapping"),
        ("", "must hold a mapping"),
        ("name: a\nname: b\n", "line 2: name occurs twice"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(DataFileError, match=message):
        load_rules(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"none\.yaml: cannot be read"):
        load_rules(tmp_path / "none.yaml")
