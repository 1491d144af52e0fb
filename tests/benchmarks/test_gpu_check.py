"""`gpu_check.sh`: its steps, its time, and what it says of steps that fail; and how `gpu_numbers` compares."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import gpu_check, gpu_numbers
from benchmarks.gpu_check import STEPS, Step, Steps, check
from benchmarks.support.check_table import markdown

ROOT = Path(__file__).parents[2]


def step(name: str, *run: str, **fields: Any) -> Step:
    return Step(name=name, what="", seconds=fields.pop("seconds", 60), run=run, **fields)


def states(tmp_path: Path, *steps: Step, seconds: float = 60.0) -> list[str]:
    return [one.state for one in check(steps, tmp_path, seconds, rehearse=False)]


def test_the_steps_fit_the_time_and_each_can_be_rehearsed() -> None:
    steps = Steps.model_validate(yaml.safe_load(STEPS.read_text())).steps
    assert steps[0].name == "small", "a fault of the machine shows before the long steps"
    for one in steps:
        (module,) = {words[0] for words in (one.run, one.rehearse) if words}
        assert module == "pytest" or (ROOT / f"{module.replace('.', '/')}.py").is_file()
    assert sum(one.seconds for one in steps if not one.packages) <= 9 * 60


@pytest.mark.slow
def test_a_step_that_fails_hangs_or_lacks_a_package_takes_no_other_one_along(tmp_path: Path) -> None:
    steps = (
        step("broken", "no_such_module"),
        step("hangs", "http.server", "0", seconds=10.5),
        step("elsewhere", "this", packages=("no_such_package",)),
        step("words", "this"),
        step("figures", "json.tool", "--compact", "--json-lines", str(tmp_path / "in"), figures=True),
        step("no figures", "this", figures=True),
    )
    (tmp_path / "in").write_text('{"rows": []}\n')
    assert states(tmp_path, *steps) == ["failed", "late", "left out", "ok", "ok", "failed"]
    assert (tmp_path / "words.txt").read_text().startswith("The Zen of Python")


def test_what_has_no_time_left_is_late(tmp_path: Path) -> None:
    assert states(tmp_path, step("words", "this"), seconds=1) == ["late"]


def test_the_command_ends_in_one_line_and_a_table(tmp_path: Path) -> None:
    (tmp_path / "steps.yaml").write_text(
        json.dumps({"version": 1, "steps": [step("words", "this").model_dump(), step("bad", "none").model_dump()]})
    )
    out = tmp_path / "out"
    done = subprocess.run(
        [ROOT / "benchmarks" / "gpu_check.sh", "--rehearse", "--out", out, "--steps", tmp_path / "steps.yaml"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["rehearsal"], [one["state"] for one in told["steps"]]) == (True, ["ok", "failed"])
    assert json.loads((out / "gpu_check.json").read_text()) == told
    assert "| bad | failed |" in (out / "gpu_check.md").read_text()


def test_the_table() -> None:
    row = {"model": "llama3", "part": "decode", "batch": 64, "unit": "tokens", "rate": 6000.0, "one_by_one": 100.0}
    row |= {"ratio": 60.0, "limit": 10000.0, "share": 0.6, "peak_bytes": 3 << 30, "note": ""}
    number = {"model": "llama3", "format": "float16", "relative_rms": 0.0014, "same_token": 1.0}
    steps = [
        {"step": "llama3", "state": "ok", "seconds": 9.0, "words": "", "figures": {"rows": [row]}},
        {"step": "numbers", "state": "ok", "seconds": 9.0, "words": "a | b", "figures": {"rows": [number]}},
    ]
    text = markdown({"card": "Some Card", "date": "2026-01-01T00:00:00", "rehearsal": False, "steps": steps})
    assert "### Some Card, 2026-01-01" in text
    assert "| llama3 | decode | 64 | 6,000.0 tokens | 100.0 | 60.0 | 10,000.0 | 60% | 3.0 |  |" in text
    assert "| llama3 | float16 | 0.0014 | 1.0 |  |" in text
    assert "a / b" in text


def test_without_a_card(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_check.card() == "none"


@pytest.mark.parametrize("model", ["llama3", "qwen-audio"])
def test_sixteen_bits_are_near_float32_and_float16_is_nearer(model: str, capsys) -> None:
    gpu_numbers.main(["--small", "--device", "cpu", "--model", model])
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    half, brain = (row["relative_rms"] for row in rows)
    assert [row["format"] for row in rows] == ["float16", "bfloat16"]
    assert 0 < half < brain < 0.05
