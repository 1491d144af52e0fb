"""Every target for a moment, without atheris; and with it, whether it runs, gets on, and notices faults."""

from __future__ import annotations

import resource
import subprocess
import sys
from importlib.util import find_spec
from random import Random

import pytest
import structlog

from tests.fuzz import guided
from tests.fuzz.guided import TARGETS, begin, main
from tests.fuzz.guided_targets import build

needs_atheris = pytest.mark.skipif(find_spec("atheris") is None, reason=guided.MISSING)


@pytest.mark.parametrize("name", TARGETS)
def test_every_target_takes_its_starts_and_what_they_are_changed_to(name, tmp_path):
    begin(name, tmp_path / "corpus", tmp_path)
    target = build(name, tmp_path / "media")
    try:
        random = Random(name)
        for start in sorted((tmp_path / "corpus").iterdir()):
            data = start.read_bytes()
            target.run(data)
            for _ in range(5):
                target.run(data := target.change(data, random))
    finally:
        target.close()
        structlog.reset_defaults()


@needs_atheris
@pytest.mark.slow
@pytest.mark.parametrize("name", ["table", "llama3/Score"])
def test_coverage_guides_the_mutations(name, tmp_path, capsys):
    assert main([name, "--seconds", "1", "--out", str(tmp_path / "out"), "--corpus", str(tmp_path / "kept")]) == 0
    first, last = capsys.readouterr().out.splitlines()
    cases, grown = int(first.split()[1]), int(first.split()[3])
    assert cases > 50 and grown > 5 and '"finds": 0' in last
    assert len(list((tmp_path / "kept" / name.replace("/", "-")).iterdir())) > 5


@needs_atheris
@pytest.mark.slow
def test_the_memory_of_the_process_that_starts_it_does_not_count(tmp_path, monkeypatch):
    """Linux hands its peak on to a new process, and pytest's may be above the limit."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    monkeypatch.setattr(guided, "RESIDENT_MIB", min(guided.RESIDENT_MIB, peak))
    assert guided.guided("table", 1, tmp_path / "out").finds == ()


CHILD = """
import os
from tests.fuzz import guided_child, targets

guided_child.guided_targets.seeds = lambda kind: ()
tried = 0


def reader(path):
    global tried
    tried += 1
    if len(path.read_bytes()) % 2:
        raise KeyError("x")
    if tried > 200:
        os.abort()


targets.READERS["labels_txt"] = reader
guided_child.main()
"""


@needs_atheris
def test_errors_and_crashes_are_finds_with_their_inputs(monkeypatch, tmp_path):
    real = subprocess.run

    def run(command, **options):
        return real([sys.executable, "-c", CHILD, *command[3:]], **options)

    monkeypatch.setattr(guided.subprocess, "run", run)
    found = guided.guided("labels_txt", 5, tmp_path / "out").finds
    (odd, error), (even, crash) = found
    assert error.startswith("KeyError") and crash == "crashes the process"
    assert odd != even and all((tmp_path / "out" / path).is_file() for path in (odd, even))
