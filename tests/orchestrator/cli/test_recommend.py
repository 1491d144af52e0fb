"""`merrflow models recommend`: what fits a machine, under which terms, and how to start it."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from merrflow.cli.app import app
from merrflow.cli.engine_sets import GB, Machine, chosen, recommended
from merrflow_serving.__main__ import load_spec
from merrflow_serving.weights import entries
from tests.paths import ROOT


def typed(*words: str) -> str:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["models", "recommend", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@pytest.mark.parametrize(
    ("memory", "gpu", "disk", "name"),
    [
        (128, 80, 500, "original"),
        (64, 48, 500, "vllm"),
        (64, 24, 500, "phases"),
        (64, 24, 50, "laptop"),  # the weights do not fit the disk
        (16, 0, 500, "laptop"),
        (8, 0, 500, "embedded"),
        (1, 0, 0, "embedded"),
    ],
)
def test_the_best_set_that_fits_is_shown(memory, gpu, disk, name):
    found = chosen(Machine(memory * GB, gpu * GB, disk * GB))
    assert found["set"] == name and found["fits"] == (memory > 1)
    assert all(one["needs"] for one in found["better"]), "each better one says what it needs"


def test_of_another_machine_it_is_asked_by_options():
    found = json.loads(typed("--memory", "16GB", "--gpu", "0", "--disk", "100GB", "--json"))
    assert found["set"] == "laptop" and found["machine"]["gpu"] == 0
    assert {one["licence"] for one in found["services"]} == {"Apache-2.0"}
    text = typed("--memory", "16GB", "--gpu", "0", "--disk", "100GB")
    assert "llama-server.yml up -d" in text and "no clause on outputs" in text and "75 GB on a card" in text


def test_this_machine_can_be_looked_at():
    found = json.loads(typed("--json"))
    assert found["machine"]["memory"] > 0 and found["machine"]["disk"] > 0


def test_every_set_names_engines_weights_and_files_that_there_are():
    for one in recommended().sets:
        assert {choice.service for choice in one.services} == {"minigpt-v2", "qwen-audio", "llama3"}
        for choice in one.services:
            assert choice.engine in load_spec(choice.service).engines
            if choice.weights:
                assert choice.engine in (*entries()[choice.weights].engines, "openai")
                assert not choice.licence and not choice.model
            else:
                assert choice.licence and choice.model
        for name in re.findall(r"-f (\S+)|(deploy/\S+\.sh)", " ".join(one.commands)):
            assert (ROOT / "".join(name)).exists()
