"""A few hundred mutated files, the finds of earlier runs, and whether the fuzzer itself would notice a fault."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.fuzz import cases, files, targets
from tests.fuzz.files import fuzz
from tests.fuzz.seeds import MAKERS, seeds

FINDS = Path(__file__).parent / "finds"


def test_mutated_files_give_answers_or_sentences():
    result = fuzz(200, seed=7)
    assert result.finds == []
    assert result.cases == 200


@pytest.mark.parametrize("kind", MAKERS)
def test_every_reader_takes_whole_files(kind, tmp_path):
    for number, whole in enumerate(seeds(kind)):
        path = tmp_path / f"{number}{targets.SUFFIXES[kind]}"
        path.write_bytes(whole)
        assert targets.run(kind, path) == ""


def test_cases_are_the_same_in_any_run_and_differ_from_each_other():
    made = [
        cases.make(3, number, tuple(kind for kind in MAKERS if kind not in ("film", "sound"))) for number in range(60)
    ]
    assert made == [
        cases.make(3, number, tuple(kind for kind in MAKERS if kind not in ("film", "sound"))) for number in range(60)
    ]
    assert len({case.data for case in made}) > 50
    assert len({case.kind for case in made}) > 6


@pytest.mark.parametrize("path", sorted(FINDS.glob("*.*")), ids=lambda path: path.name)
def test_finds_of_earlier_runs(path, tmp_path):
    """Named `<kind>-<what>.<suffix>`. Each was a fault once, and now gets an answer or a sentence."""
    kind = path.name.split("-")[0]
    copy = tmp_path / f"case{targets.SUFFIXES[kind]}"
    copy.write_bytes(path.read_bytes())
    targets.run(kind, copy)


CHILD = """
import os, time
from tests.fuzz import child, targets
from tests.fuzz.cases import Case

kept = []


def reader(path):
    number = int(path.read_text())
    if number == 0:
        raise KeyError("x")
    if number == 1:
        os.abort()
    if number == 2:
        time.sleep(60)
    if number == 3:
        bytearray(4 << 30)
    if number == 4:
        raise targets.InputError("")
    if number > 5:
        kept.append(b"x" * (3 << 20))


targets.READERS["labels_txt"] = reader
child.seeds = lambda kind: ()
child.cases.make = lambda seed, number, kinds: Case("labels_txt", str(number).encode())
child.main()
"""
FAULTS = ["KeyError", "ends with signal 6", "hangs for more than 5 s", "MemoryError", "no message to act on"]


@pytest.mark.slow
def test_the_fuzzer_notices_errors_crashes_hangs_hunger_and_leaks(monkeypatch):
    real = files.subprocess.Popen

    def popen(command, **options):
        return real([sys.executable, "-c", CHILD, *command[3:]], **options)

    monkeypatch.setattr(files.subprocess, "Popen", popen)
    leak, *found = fuzz(200, seed=1, kinds=("labels_txt",), deadline=5.0).finds
    assert leak[0] == -1 and "a leak" in leak[1]
    assert [number for number, _ in found] == [0, 1, 2, 3, 4]
    for (_, what), words in zip(found, FAULTS, strict=True):
        assert words in what
