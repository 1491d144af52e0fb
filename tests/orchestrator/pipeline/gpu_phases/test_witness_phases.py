"""Second engines in GPU phases: their own phase comes last, and one whose container does not start costs no record."""

from __future__ import annotations

import json
from functools import partial

import pytest

from merrflow.pipeline import open_session as sessions
from merrflow.pipeline.gpu_phases import open_sharing
from merrflow.pipeline.gpu_phases.plan import Model, make_plan
from tests.orchestrator import fakes
from tests.orchestrator.pipeline.gpu_phases.project import GIB, SIZES, FakeProject, free_ports
from tests.orchestrator.pipeline.gpu_phases.test_phases import in_turns
from tests.orchestrator.pipeline.test_witness_engines import SecondTone
from tests.ports import free_port

NAME = "qwen-audio.tone-2"


@pytest.fixture
async def project(monkeypatch):
    found = FakeProject(free_ports() | {NAME: free_port()}, SIZES | {NAME: 5}, qwen_audio_tone_2=SecondTone)
    monkeypatch.setattr(sessions, "open_sharing", partial(open_sharing, project=found))
    yield found
    await found.close()


def said(out):
    (line,) = (out / "records.jsonl").read_text().splitlines()
    return json.loads(line)["witnesses"]["tone"][0]


def test_a_second_engine_shares_no_phase_with_a_main_one_even_if_both_fit():
    plan = make_plan([Model("a", 4 * GIB, 4 * GIB), Model("b", 4 * GIB, 4 * GIB, True)], 24 * GIB)
    assert [phase.services for phase in plan.phases] == [("a",), ("b",)]


async def test_a_witness_has_its_own_phase_after_the_main_engines(tmp_path, project):
    clip = fakes.make_video(tmp_path / "a.mp4", "red")
    summary = await in_turns(clip, tmp_path / "out", witness="qwen-audio=tone-2")
    assert summary.complete and summary.outcomes == {"done": 1}
    assert [entry for entry in project.log if "tone-2" in entry or "llama3" in entry] == [
        *("+llama3", "-llama3", f"+{NAME}", f"-{NAME}")
    ]
    assert said(tmp_path / "out")["model"] == "second-qwen-audio" and said(tmp_path / "out")["answer"]["text"]


async def test_a_witness_whose_container_ends_costs_no_record(tmp_path, project):
    project.trouble_of[NAME] = "exit code 1"
    clip = fakes.make_video(tmp_path / "a.mp4", "red")
    summary = await in_turns(clip, tmp_path / "out", witness="qwen-audio=tone-2")
    assert summary.complete and summary.outcomes == {"done": 1}
    assert (said(tmp_path / "out")["again"], "exit code 1" in said(tmp_path / "out")["reason"]) == (True, True)
    del project.trouble_of[NAME]
    assert (await in_turns(clip, tmp_path / "out", witness="qwen-audio=tone-2")).worked == 1
    assert said(tmp_path / "out")["answer"]["text"]
