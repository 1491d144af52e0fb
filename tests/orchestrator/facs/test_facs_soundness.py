"""Rule files in which every value by itself is right, and the whole is not: each fault with its line and value."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from merrflow.facs import DataFileError, load_rules, packaged_rules


def packaged(name: str) -> dict:
    return yaml.safe_load((files("merrflow.facs") / "rulesets" / f"{name}.yaml").read_text(encoding="utf-8"))


def write(folder: Path, data: dict, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def faults(folder: Path, data: dict) -> list[tuple[str, str]]:
    """Each fault as (the text of the line it names, its message)."""
    path = write(folder, data)
    lines = path.read_text().splitlines()
    with pytest.raises(DataFileError) as caught:
        load_rules(path)
    found = []
    for text in str(caught.value).splitlines():
        place, message = text.removeprefix(f"{path}, line ").split(": ", 1)
        found.append((lines[int(place) - 1].strip(), message))
    return found


def rule(data: dict, label: str) -> dict:
    return next(entry for entry in data["rules"] if entry["label"] == label)


@pytest.mark.parametrize("name", packaged_rules())
def test_the_packaged_sets_are_sound_as_files_of_a_user_too(tmp_path: Path, name: str) -> None:
    found = load_rules(write(tmp_path, packaged(name)))
    assert found.model_dump() == load_rules(name).model_dump()
    assert found.phrases() == load_rules(name).phrases()


def test_every_fault_is_told_at_once_each_at_its_own_line(tmp_path: Path) -> None:
    data = packaged("merr")
    rule(data, "surprise")["action_units"][3] = "AU02"
    rule(data, "happy")["published_as"] = {"AU06": "AU06", "AU25": "AU12"}
    found = faults(tmp_path, data)
    assert [line for line, _ in found] == ["AU25: AU12", "AU06: AU06", "- AU02"]
    assert "'surprise' action_units [3]: AU02 occurs twice" in found[2][1]


def test_a_rule_behind_one_that_always_stands_too_can_never_win(tmp_path: Path) -> None:
    data = packaged("merr")
    rule(data, "surprise")["action_units"] = ["AU20", "AU06", "AU01"]
    rule(data, "surprise")["minimum"] = 2  # any two of them hold AU20 (worried) or AU06 (happy)
    ((_, message),) = faults(tmp_path, data)
    assert "'surprise' can never win: every face that meets it meets 'worried', 'happy' first" in message
    rule(data, "surprise")["action_units"] = ["AU20", "AU02", "AU01"]  # AU01 with AU02 is free
    assert load_rules(write(tmp_path, data))


def test_two_labels_with_one_condition(tmp_path: Path) -> None:
    data = packaged("merr")
    rule(data, "doubt")["action_units"] = ["AU14", "AU12", "AU06"]
    ((_, message),) = faults(tmp_path, data)
    assert "'doubt' can never win: every face that meets it meets 'happy' first" in message

    data = packaged("default")
    fear, worried = rule(data, "fear"), rule(data, "worried")
    for key in ("action_units", "prototypes", "support", "against"):
        worried[key] = fear[key]
    ((_, message),) = faults(tmp_path, data)
    assert "'worried' can never win: 'fear' has the same conditions and no less evidence" in message
    # the file's order decides between equals, evidence between others
    worried["support"] = {**fear["support"], "AU20": 0.5}
    ((_, message),) = faults(tmp_path, data)
    assert "'fear' can never win: 'worried'" in message


def test_the_same_prototype_twice_in_any_order(tmp_path: Path) -> None:
    data = packaged("default")
    rule(data, "happy")["prototypes"].append({"core": ["AU12", "AU06"]})
    ((_, message),) = faults(tmp_path, data)
    assert "'happy' prototypes [2] core: the same condition as prototype 1 of 'happy'" in message


def test_a_threshold_that_cannot_be_reached(tmp_path: Path) -> None:
    data = packaged("default")
    rule(data, "contempt")["prototypes"].append({"core": ["AU14"], "weight": 0.1})
    rule(data, "contempt")["support"] = {"AU10": 0.4}
    ((_, message),) = faults(tmp_path, data)
    assert "AU14 scores 0.14 at most and can never reach the threshold of 0.6" in message
    data["threshold"] = 50
    ((line, message),) = faults(tmp_path, data)
    assert line == "threshold: 50"
    assert "no rule can ever reach 50.0: the best scores" in message


@pytest.mark.parametrize(
    ("change", "line", "part"),
    [
        (lambda d: d.update(lexicon="mer"), "lexicon: mer", "no lexicon named 'mer': choose default or merr"),
        (lambda d: d.update(lexicon="words.yaml"), "lexicon: words.yaml", "there is no file"),
        (lambda d: rule(d, "sad").update(aliases=["sad ness "]), "- 'sad ness '", "match pattern"),
        (lambda d: rule(d, "sad").update(minimum=5), "minimum: 5", "minimum 5 of 4 units can never be met"),
        (lambda d: rule(d, "sad").pop("minimum"), "- label: sad", "'sad' has no minimum"),
        (lambda d: rule(d, "sad").update(weights={"AU01": 1.0}), "weights:", "weights of 'sad' need decide: weights"),
        (lambda d: d.update(threshold=0.5), "threshold: 0.5", "threshold needs decide: score"),
        (lambda d: d.update(version=2), "version: 2", "valid string (value 2)"),
        (lambda d: rule(d, "sad")["action_units"].append("AU16"), "- AU16", "lexicon merr 1 has no phrase for AU16"),
        (lambda d: d["neutral"].update(action_units=["AU16"]), "- AU16", "lexicon merr 1 has no phrase for AU16"),
        (lambda d: d["neutral"].update(aliases=["scared"]), "- scared", "'scared' occurs twice"),
        (lambda d: d["peak"].update(maximum_turn=float("nan")), "maximum_turn: .nan", "finite number"),
    ],
)
def test_one_mistake_in_merr(tmp_path: Path, change, line: str, part: str) -> None:
    data = packaged("merr")
    change(data)
    found = faults(tmp_path, data)
    assert any(part in message for _, message in found), found
    assert any(text == line for text, _ in found), found


@pytest.mark.parametrize(
    ("change", "line", "part"),
    [
        (lambda d: rule(d, "sad")["weights"].pop("AU05"), "weights:", "no weight for AU05, which base_rates lists"),
        (lambda d: d["base_rates"].pop("AU28"), "AU28: 0.53", "AU28 has a weight but no base rate"),
        (lambda d: d["base_rates"].update(AU28=1.2), "AU28: 1.2", "less than or equal to 1"),
        (lambda d: rule(d, "sad").pop("intercept"), "- label: sad", "'sad' has no intercept"),
        (lambda d: rule(d, "sad").update(intercept=-9), "intercept: -9", "log odds of -7.30 at most"),
        (lambda d: rule(d, "fear").update(intercept=float("inf")), "intercept: .inf", "finite number"),
        (lambda d: d["fit"]["recall"].update(bored={"mean": 0, "spread": 0}), "bored:", "unknown label 'bored'"),
        (lambda d: d["fit"]["recall"].update(sad={"mean": 2, "spread": 0}), "mean: 2", "less than or equal to 1"),
    ],
)
def test_one_mistake_in_the_weights(tmp_path: Path, change, line: str, part: str) -> None:
    data = packaged("calibrated")
    change(data)
    found = faults(tmp_path, data)
    assert any(part in message for _, message in found), found
    assert any(text == line for text, _ in found), found


def test_a_label_outweighed_on_every_face(tmp_path: Path) -> None:
    data = packaged("calibrated")
    strong, weak = rule(data, "sad"), rule(data, "angry")
    weak["action_units"] = strong["action_units"]
    weak["weights"] = dict(strong["weights"])
    weak["intercept"] = strong["intercept"] - 0.01
    ((_, message),) = faults(tmp_path, data)
    assert "'angry' can never win: 'sad' has higher log odds on every face" in message


def test_a_lexicon_of_ones_own_is_found_beside_the_rules(tmp_path: Path, monkeypatch) -> None:
    words = yaml.safe_load((files("merrflow.facs") / "lexicon_merr.yaml").read_text()) | {"name": "mine"}
    (tmp_path / "words").mkdir()
    write(tmp_path / "words", words, "my.yaml")
    path = write(tmp_path, packaged("merr") | {"lexicon": "words/my.yaml"})
    monkeypatch.chdir(tmp_path.parent)
    assert load_rules(path.relative_to(tmp_path.parent)).phrases().name == "mine"

    del words["phrases"]["AU28"]
    write(tmp_path / "words", words, "my.yaml")
    with pytest.raises(DataFileError, match="the lexicon mine 1 has no phrase for AU28"):
        load_rules(path)  # read again: a file of a user may change

    words["phrases"]["AU28"] = ["lips in", "lips in"]
    lexicon = write(tmp_path / "words", words, "my.yaml")
    with pytest.raises(DataFileError, match="'lips in' occurs twice at AU28") as caught:
        load_rules(path)
    assert str(caught.value).startswith(f"{lexicon}, line ")

    words["phrases"]["AU28"] = ["lips\nin"]
    write(tmp_path / "words", words, "my.yaml")
    with pytest.raises(DataFileError, match="phrases AU28 "):
        load_rules(path)


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "a: &a\n  b: *a\n", "2020-01-01: x\n", "[a]: b\n", "? {a: b}\n: c\n"])
def test_yaml_that_is_no_rule_set_ends_in_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(DataFileError, match="odd.yaml"):
        load_rules(path)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("2026-13-01", "'2026-13-01': month must be in 1..12.*line 2"),
        ("9" * 5000, r"'9{10,}\.\.\..*line 2"),
        ('"1\\e[31m"', "line 2: version: String should match"),
        ('"\\ud800"', "surrogates not allowed.*line 2"),
        (f"0x{'F' * 5000}", r"'0xF{10,}\.\.\..*line 2"),
    ],
)
def test_a_value_that_cannot_be_is_named_in_a_line(tmp_path: Path, value: str, told: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(f"name: odd\nversion: {value}\n")
    with pytest.raises(DataFileError, match=told) as caught:
        load_rules(path)
    assert all(len(line) < 600 for line in str(caught.value).splitlines())


def test_aliases_of_aliases_take_no_time(tmp_path: Path) -> None:
    path = tmp_path / "bomb.yaml"
    lines = [f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 10)}]" for n in range(1, 12)]
    path.write_text("\n".join(["k0: &k0 [x]", *lines]))
    with pytest.raises(DataFileError, match="with its aliases .* over 100000 values"):
        load_rules(path)


def test_a_fault_is_told_once(tmp_path: Path) -> None:
    data = packaged("merr")
    rule(data, "doubt")["action_units"] = ["AU99"]
    with pytest.raises(DataFileError, match="unknown Action Unit 'AU99'") as caught:
        load_rules(write(tmp_path, data))
    assert len(str(caught.value).splitlines()) == 1
