"""`benchmarks.peer`: what both are given, what a command used, and the figures from that."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path

import pytest

from benchmarks.peer import CALLS, FILM, Row, plain, prepare, run_fixed, run_openai, summary
from benchmarks.support.peer_models import explanation
from benchmarks.support.process_tree import Used, is_running, run_tree
from merrflow.formats.openface_csv import read_openface
from merrflow_llama3 import Clues
from merrflow_llama3.engines.drafts import check
from merrflow_llama3.prompt import load_prompt
from tests.orchestrator.formats.openface_csv import probe_of

SPIN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\n"


def used(seconds: float, cpu: float = 1.0) -> Used:
    return Used(seconds, cpu, own_mib=200.0, tree_mib=300.0, load=1.5, printed="")


def test_every_copy_is_another_file_with_its_csv_and_its_words(tmp_path: Path) -> None:
    inputs = prepare(tmp_path, FILM, None, 3)
    clips = sorted(inputs.clips.iterdir())
    assert [clip.stem for clip in clips] == list(inputs.names) == ["clip_00000", "clip_00001", "clip_00002"]
    assert len({clip.read_bytes() for clip in clips}) == 3
    rows = list(csv.DictReader(inputs.transcripts.open()))
    assert [row["name"] for row in rows] == list(inputs.names)
    for name in inputs.names:
        probe = probe_of(inputs.frames)
        read = read_openface(inputs.action_units / f"{name}.csv", probe=probe)
        assert read.told == ()  # nothing in it is damaged or missing
        middle = read.series.frames[inputs.frames // 2].faces[0].intensity
        assert {unit for unit, value in middle.items() if value > 1} == {"AU06", "AU12"}


def test_a_csv_that_is_given_is_copied(tmp_path: Path) -> None:
    given = tmp_path / "given.csv"
    given.write_text("frame, timestamp\n")
    inputs = prepare(tmp_path, FILM, given, 2)
    assert [path.read_text() for path in sorted(inputs.action_units.iterdir())] == ["frame, timestamp\n"] * 2


def test_figures() -> None:
    row = Row("merrflow", 200, used(50.0, cpu=20.0), services_cpu_seconds=4.0)
    assert (row.clips_a_minute, row.cpu_ms_a_clip, row.services_ms_a_clip) == (240.0, 100.0, 20.0)
    assert row.line() == "| merrflow | 240 | 100 | 20 | 200 | 300 | 1.5 |"
    assert row.numbers()["clips_a_minute"] == 240.0
    rows = [Row("MER-Factory, 4 clips at once", 100, used(50.0)), *(Row("ours", 100, used(s)) for s in (20, 25, 90))]
    assert summary(rows) == ["ours: 2.00 times MER-Factory, 4 clips at once"]  # the median of the rounds


def test_a_command_is_measured_with_its_children_and_those_it_leaves(tmp_path: Path) -> None:
    """One child that it waits for, one that it does not, in a session of its own; the last is ended."""
    left = tmp_path / "left"
    code = f"""
import subprocess, sys, time
subprocess.run([sys.executable, "-c", {SPIN.format(0.3)!r}])
code = {SPIN.format(0.3)!r} + "open({str(left)!r}, 'w').write('x')\\nimport time; time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
import pathlib
while not pathlib.Path({str(left)!r}).exists(): time.sleep(0.05)
print(child.pid)
"""
    found = run_tree([sys.executable, "-c", code], environment=os.environ)
    assert found.cpu_seconds >= 0.6
    assert 0 < found.own_mib <= found.tree_mib
    assert not is_running(int(found.printed))


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"ended with 3:\nno such clip"):
        run_tree([sys.executable, "-c", "print('no such clip'); raise SystemExit(3)"], environment=os.environ)


def test_neither_is_given_the_other_ones_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MERRFLOW_LLAMA3_ADDRESS", "PREFECT_API_URL", "OPENAI_API_KEY", "GOOGLE_API_KEY"):
        monkeypatch.setenv(name, "x")
    assert not {name for name in plain() if name.startswith(("MERRFLOW_", "PREFECT_", "OPENAI_", "GOOGLE_"))}


def test_what_the_model_says_passes_the_checks() -> None:
    prompt = load_prompt("grounded")
    clues = prompt.prepare(
        Clues(
            "One person sits.",
            ("brow lowerer",),
            tone="The speaker's tone is calm.",
            subtitle="Come on!",
            label="angry",
        ),
        (),
    )
    question = prompt.fill(clues, ())
    found = check(
        explanation(question),
        clues,
        question,
        every_clue=prompt.every_clue,
        cut=False,
        prompt_tokens=1,
        answer_tokens=1,
    )
    assert found.failures == ()


@pytest.mark.slow
def test_merrflow_finishes_every_clip_with_four_calls_each(tmp_path: Path) -> None:
    inputs = prepare(tmp_path, FILM, None, 2)
    (tmp_path / "fixed").mkdir()
    (tmp_path / "openai").mkdir()
    fixed = run_fixed(inputs, 0.05, tmp_path / "fixed")
    assert fixed.clips == 2 and fixed.used.cpu_seconds > fixed.services_cpu_seconds > 0
    asked = run_openai(inputs, 0.05, tmp_path / "openai")
    at_start = 16  # at most: what the engines ask to see that the endpoint reads pictures and hears
    assert CALLS * 2 <= (asked.calls or 0) <= CALLS * 2 + at_start
