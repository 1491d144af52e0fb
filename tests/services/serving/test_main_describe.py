"""`python -m merrflow_serving describe SERVICE`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from merrflow_serving import __main__ as command
from merrflow_serving.describe import describe
from merrflow_serving.errors import NotReady
from merrflow_serving.torch.need import Need
from tests.services.serving.toy import SPEC, ToyEngine


class Hungry(ToyEngine):
    """Takes a share of a GPU."""

    def need(self) -> Need:
        return Need(2 << 30, 3 << 30, 0.5)


class Lacking(ToyEngine):
    """Its weights are not there."""

    def need(self) -> Need:
        raise NotReady("toy.bin is missing: pip install toy-model")


class Bare(ToyEngine):
    """Its library is not installed."""

    def need(self) -> Need:
        raise ImportError("No module named 'toylib'", name="toylib")


def told(engine: type) -> dict:
    spec = replace(SPEC, engines={"toy": f"{__name__}:{engine.__name__}"})
    return json.loads(json.dumps(describe(spec, spec.settings())))


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or __import__(__name__))


def test_an_engine_on_the_cpu_needs_nothing_of_a_gpu():
    found = told(ToyEngine)
    assert found["service"] == "qwen-audio" and found["engine"]["model"] == "toy-1"
    assert found["limits"]["max_batch_size"] == 4
    assert (found["need"], found["gpu"], found["problem"]) == ({"least_bytes": 0, "full_bytes": 0}, None, "")


def test_a_need_is_reported_with_the_card_or_without_one():
    found = told(Hungry)
    assert found["gpu"].keys() == {"name", "uuid", "total_bytes"}
    total = found["gpu"]["total_bytes"]  # 0 where the tests run without a GPU
    assert found["need"] == {"least_bytes": 2 << 30, "full_bytes": max(3 << 30, total // 2)}


def test_what_is_missing_is_a_problem_and_not_a_crash():
    assert told(Lacking)["problem"] == "toy.bin is missing: pip install toy-model"
    assert told(Bare)["problem"] == "the engine toy needs toylib, which is not installed here"


def test_the_command_prints_one_line_of_json_and_loads_nothing(monkeypatch, capsys):
    monkeypatch.setattr(command, "load_spec", lambda name: (print("a library says hello"), SPEC)[1])
    monkeypatch.setattr(ToyEngine, "missing_weights", True)
    assert command.main(["describe", "qwen-audio"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["engine"]["engine"] == "toy" and out.count("\n") == 1
    assert "hello" in err


def test_unusable_settings_are_said(monkeypatch, capsys):
    monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_ENGINE", "nonsense")
    assert command.main(["describe", "qwen-audio"]) == 2
    assert "has no engine 'nonsense'" in capsys.readouterr().err
    assert command.main(["describe", "nothing"]) == 2
