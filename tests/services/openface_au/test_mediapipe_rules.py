"""The rule file: what is shipped, and what is refused."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest
import yaml

from merrflow_openface_au.engines.mediapipe.rules import DEAD, FEATURES, load_rules
from merrflow_serving.errors import NotReady

SHIPPED = yaml.safe_load(
    (resources.files("merrflow_openface_au") / "data" / "mediapipe.yaml").read_text(encoding="utf-8")
)


def write(tmp_path: Path, change) -> Path:
    rules = yaml.safe_load(yaml.safe_dump(SHIPPED))
    change(rules)
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rules), encoding="utf-8")
    return path


def test_shipped_rules_are_sound() -> None:
    rules = load_rules()
    assert list(rules.action_units) == sorted(rules.action_units)
    assert rules.version
    for code, rule in rules.action_units.items():
        assert set(rule.terms) <= FEATURES
        assert not {f"{name}Left" for name in rule.terms} & DEAD
        assert "FACS" in rule.source, code


def test_a_copy_of_the_shipped_rules_is_the_same(tmp_path: Path) -> None:
    assert load_rules(write(tmp_path, lambda rules: None)) == load_rules()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["action_units"]["AU12"].update(terms={"mouthSmlie": 1.0}), "mouthSmlie"),
        (lambda r: r["action_units"]["AU06"].update(terms={"cheekSquint": 1.0}), "never leave zero"),
        (lambda r: r["action_units"]["AU12"].update(terms={"mouthSmile": 0.0}), "weights are 0"),
        (lambda r: r["action_units"]["AU12"].update(terms={}), "terms"),
        (lambda r: r["action_units"]["AU12"].update(gain=-1), "gain"),
        (lambda r: r["action_units"]["AU12"].update(present_from=7), "present_from"),
        (lambda r: r["action_units"]["AU12"].update(smooth_frames=4), "odd"),
        (lambda r: r["action_units"]["AU12"].pop("source"), "source"),
        (lambda r: r["action_units"]["AU12"].update(gian=2), "gian"),
        (lambda r: r["action_units"].update(smile=r["action_units"]["AU12"]), "smile"),
        (lambda r: r.update(action_units={}), "action_units"),
        (lambda r: r["search"].update(every_frames=0), "every_frames"),
        (lambda r: r.pop("version"), "version"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change, words: str) -> None:
    with pytest.raises(NotReady, match=words):
        load_rules(write(tmp_path, change))


def test_missing_or_broken_file(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="cannot be read"):
        load_rules(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    for text in ("version: [1\n", "version: 2026-99-99\n", "[" * 5000):
        broken.write_text(text)
        with pytest.raises(NotReady, match="cannot be read"):
            load_rules(broken)
