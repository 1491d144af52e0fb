"""`merrflow rules`, as typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from merrflow.cli import rules as command
from merrflow.core.errors import InputError
from merrflow.facs import load_rules, packaged_rules
from tests.orchestrator.facs.test_facs_calibrate import planted, write


def typed(*words: str) -> str:
    done = CliRunner().invoke(command.app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(autouse=True)
def _plain(monkeypatch) -> None:
    """The command's console is wide enough for a table."""
    from rich.console import Console

    monkeypatch.setattr(command, "output_console", lambda: Console(width=200, highlight=False))


def test_list_names_every_set() -> None:
    text = typed("list")
    assert all(name in text for name in packaged_rules())
    found = json.loads(typed("list", "--json"))
    assert [entry["name"] for entry in found] == list(packaged_rules())
    assert found[1]["labels"] == list(load_rules("default").labels)


@pytest.mark.parametrize("name", packaged_rules())
def test_show_tells_labels_units_phrases_and_sources(name: str) -> None:
    rules = load_rules(name)
    text = typed("show", name)
    for rule in rules.rules:
        assert rule.label in text
        assert all(code in text for code in rule.action_units)
    lexicon = rules.phrases()
    shown = {code for rule in rules.rules for code in rule.action_units}
    assert all(phrase in text for code in shown for phrase in lexicon.phrases[code])
    assert all(source in text.replace("\n", " ") for source in rules.sources)
    found = json.loads(typed("show", name, "--json"))
    assert found["rules"][0]["label"] == rules.rules[0].label
    assert found["phrases"]["AU12"] == list(lexicon.phrases["AU12"])


def test_show_checks_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\ndecide: guess\n")
    with pytest.raises(InputError, match=r"mine\.yaml, line 2: decide: .*'guess'"):
        command.load(str(path))


def test_markup_in_a_file_is_text(tmp_path: Path) -> None:
    data = load_rules("merr").model_dump(mode="json") | {"description": "[red]bold[/nothing]", "name": "mine"}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data))
    assert "[red]bold[/nothing]" in typed("show", str(path))


def test_fit_writes_a_set_that_runs_can_use(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    words = {"name": "words", "version": "1", "phrases": dict(load_rules("default").phrases().phrases)}
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "words.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(words))))
    like = load_rules("default").model_dump(mode="json") | {"name": "like", "lexicon": "words.yaml"}
    (tmp_path / "sets" / "like.yaml").write_text(yaml.safe_dump(like))
    out = tmp_path / "mine.yaml"
    text = typed(
        "fit",
        "--against",
        str(write(tmp_path, planted(300))),
        "--out",
        str(out),
        "--like",
        f"{tmp_path}/sets/like.yaml",
    )
    rules = load_rules(out)
    assert rules.title == "mine 1"
    assert rules.phrases().name == "words"  # by its path from the new file
    assert f"{rules.fit.accuracy.mean:.1%}" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.json", "mine.yaml", "sets"]
    with pytest.raises(InputError, match="already exists"):
        command.fit_to(tmp_path / "mine.json", out, "default")


@pytest.mark.parametrize(
    ("out", "message"),
    [("mine.txt", "ends in .yaml"), ("My Set.yaml", "lower-case letters"), ("none/x.yaml", "no such|cannot")],
)
def test_fit_refuses_before_any_work(tmp_path: Path, out: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        command.fit_to(tmp_path / "missing.json", tmp_path / out, "default")
    assert not list(tmp_path.iterdir())


def test_the_command_is_light_to_import() -> None:
    heavy = "import sys, merrflow.cli.rules; print([m for m in ('sklearn', 'numpy', 'prefect') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
