"""`python -m benchmarks.gpu --small` on the CPU: what it counts, compares, and says where memory does not suffice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import gpu
from benchmarks.models.minigpt_v2 import MiniGpt
from merrflow_minigpt_v2.engines.minigpt_v2.vision import VisionEncoder

torch.set_num_threads(1)
ROOT = Path(__file__).parents[2]
SMALL = ("--small", "--device", "cpu", "--seconds", "0", "--alone", "2")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What the last line of the run tells."""
    gpu.main([*SMALL, *arguments])
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def by_part(told: dict[str, Any]) -> dict[tuple[str, str, int], dict[str, Any]]:
    return {(row["part"], row["unit"], row["batch"]): row for row in told["rows"]}


@pytest.mark.parametrize(("model", "unit"), [("minigpt-v2", "images"), ("qwen-audio", "clips")])
def test_towers_with_a_language_model(model: str, unit: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = run(capsys, "--model", model, "--batch", "1", "--batch", "3", "--tokens", "5")
    rows = by_part(told)
    assert set(rows) == {("tower", unit, n) for n in (1, 3)} | {
        ("answers", what, n) for what in (unit, "tokens") for n in (1, 3)
    }
    items, words = rows["answers", unit, 3], rows["answers", "tokens", 3]
    assert (items["items"], words["items"]) == (3, 15)
    assert words["rate"] == pytest.approx(5 * items["rate"], rel=1e-3)
    assert words["limit"] == pytest.approx(5 * items["limit"], rel=1e-3)
    assert (items["identical"], items["compared"], items["at_once"]) == (2, 2, 3)
    assert rows["answers", unit, 1]["compared"] == 1
    for row in told["rows"]:
        assert row["note"] == ""
        assert row["ratio"] == pytest.approx(row["rate"] / row["one_by_one"], rel=1e-2)
        assert row["share"] == pytest.approx(row["rate"] / row["limit"], abs=1e-3)


def test_the_reasoner(capsys: pytest.CaptureFixture[str]) -> None:
    told = run(capsys, "--model", "llama3", "--batch", "3", "--tokens", "40")
    rows = by_part(told)
    prompts, decode, answers = (rows[part, "tokens", 3] for part in ("prompts", "decode", "answers"))
    assert prompts["items"] == 3 * 48
    assert decode["items"] == 3 * 39  # the first token of each comes out of its prompt
    assert answers["items"] == 3 * 40
    assert (answers["identical"], answers["compared"]) == (2, 2)
    # Two layers with two key heads 8 wide in float32: 2 * 2 * 2 * 8 * 4 bytes a token, of 3 rows of 88.
    assert answers["cache_bytes"] == 3 * 88 * 256
    # All decoding is left once the prompts' time is taken from the whole's.
    whole, reading = answers["items"] / answers["rate"], prompts["items"] / prompts["rate"]
    assert decode["rate"] == pytest.approx(decode["items"] / (whole - reading), rel=1e-2)
    assert {"torch", "transformers", "date", "device", "bandwidth_bytes_per_second"} <= set(told)
    assert told["device"].startswith("CPU")


def test_a_tower_that_does_not_fit_is_a_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    see = VisionEncoder.encode

    def short_of_memory(self: VisionEncoder, pictures: list[Any]) -> Any:
        if len(pictures) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return see(self, pictures)

    monkeypatch.setattr(VisionEncoder, "encode", short_of_memory)
    told = run(capsys, "--model", "minigpt-v2", "--batch", "4", "--batch", "2", "--tokens", "2")
    full, fits = ([row for row in told["rows"] if row["batch"] == batch] for batch in (4, 2))
    assert [(row["part"], row["unit"], row["rate"], row["note"]) for row in full] == [
        ("tower", "images", None, "out of memory"),
        ("answers", "images", None, "out of memory"),
        ("answers", "tokens", None, "out of memory"),
    ]
    assert all(row["rate"] > 0 and not row["note"] for row in fits)


def test_answers_that_fit_in_parts_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine splits the batch; the row says into what, and its limit is that of the parts."""
    from merrflow_minigpt_v2.engines.minigpt_v2.generation import AnswerGenerator

    answer = AnswerGenerator.answer

    def short_of_memory(self: AnswerGenerator, questions: list[Any]) -> Any:
        if len(questions) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return answer(self, questions)

    monkeypatch.setattr(AnswerGenerator, "answer", short_of_memory)
    rows = by_part(run(capsys, "--model", "minigpt-v2", "--batch", "4", "--tokens", "2"))
    row = rows["answers", "tokens", 4]
    assert (row["at_once"], row["note"], row["items"]) == (2, "out of memory at 4: 2 at once", 8)
    assert row["identical"] == row["compared"] == 2


def test_weights_that_do_not_fit_are_a_row(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(MiniGpt, "__init__", full)
    (row,) = run(capsys, "--model", "minigpt-v2", "--batch", "1")["rows"]
    assert (row["part"], row["rate"], row["note"]) == ("weights", None, "out of memory")


def test_a_bug_is_not_taken_for_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(VisionEncoder, "encode", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        gpu.main([*SMALL, "--model", "minigpt-v2", "--batch", "1"])


def test_a_cpu_is_asked_for_small_shapes() -> None:
    with pytest.raises(SystemExit, match="--small"):
        gpu.main(["--device", "cpu"])


@pytest.mark.parametrize("arguments", [("--tokens", "1"), ("--batch", "0"), ("--model", "gpt")])
def test_options_out_of_range(arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu.main([*SMALL, *arguments])
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.slow
def test_without_what_servers_need(tmp_path: Path) -> None:
    """In a process of its own, as the docstring has it: packages of servers, media and weights are not there."""
    gone = ("av", "cv2", "grpc_health", "grpc_reflection", "prometheus_client", "accelerate", "gguf", "modelscope")
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nfor name in {gone}: sys.modules[name] = None\n")
    arguments = ["--model", "minigpt-v2", "--model", "qwen-audio", "--model", "llama3", "--batch", "1", "--tokens", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *SMALL, "--alone", "1", "--threads", "1", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert {row["model"] for row in rows if row["items"]} == {"minigpt-v2", "qwen-audio", "llama3"}
