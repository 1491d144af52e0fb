"""An embedded service that dies while it starts: it is started again, and if that does not help, the run says why."""

from __future__ import annotations

import socket

import pytest

from merrflow.pipeline import local_services
from merrflow.pipeline.local_services import EmbeddedServiceDies, LocalServices
from merrflow_serving.errors import InvalidInput
from tests.faults.conftest import annotate, make_clips
from tests.faults.processes import Faults
from tests.faults.processes_checks import assert_whole
from tests.faults.surroundings import BARE, ended, environment, start


@pytest.fixture
def faults(tmp_path, monkeypatch) -> Faults:
    found = Faults(tmp_path / "faults")
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.mark.slow
async def test_one_that_dies_at_first_is_started_again(tmp_path, faults):
    faults.plan(llama3={"start": "killed 2"}, qwen_audio={"start": "end 1"})
    clips = make_clips(tmp_path / "clips", ["a"])
    summary = await annotate(clips, tmp_path / "out", {})
    assert summary.outcomes == {"done": 1}
    assert faults.calls()["llama3", "start"] == 3 and faults.calls()["qwen-audio", "start"] == 2
    assert_whole(tmp_path / "out", ["a"])


@pytest.mark.slow
def test_one_that_dies_at_every_start_stops_the_run_with_its_own_reason(tmp_path, faults):
    faults.plan(llama3={"start": "killed 99"})
    out = tmp_path / "out"
    (out / "logs").mkdir(parents=True)
    (out / "logs/llama3.log").write_text("the last line of an earlier run\n")
    clips = make_clips(tmp_path / "clips", ["a"])
    code, output = ended(start([*BARE, str(clips), "--out", str(out)], environment(faults, {})))
    assert code == 1, output
    (last,) = [line for line in output.splitlines() if line.startswith("merrflow: ")]
    assert "the embedded service llama3 died at 5 starts: killed by SIGKILL" in last and "SERVICE_DIES" in last
    assert "llama3 comes to grief" in last and "earlier run" not in output
    faults.plan()
    code, output = ended(start([*BARE, str(clips), "--out", str(out)], environment(faults, {})))
    assert code == 0, output


def test_one_whose_settings_cannot_be_used_is_an_unusable_argument(tmp_path, faults):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        env = environment(faults, {"llama3_metrics_port": taken.getsockname()[1]})
        clips = make_clips(tmp_path / "clips", ["a"])
        code, output = ended(start([*BARE, str(clips), "--out", str(tmp_path / "out")], env))
    assert code == 2 and "cannot open the metrics page on port" in output, output
    assert "started again" not in output


async def test_one_that_dies_without_a_word_says_so(tmp_path, faults, monkeypatch):
    monkeypatch.setattr(local_services, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(EmbeddedServiceDies, match=r"exit code 1 \(it wrote no log; log: .*llama3.log\)"):
        await LocalServices(tmp_path, None, ("llama3",)).__aenter__()


async def test_one_that_ends_by_a_signal_without_a_name(tmp_path, monkeypatch):
    program = tmp_path / "service"
    program.write_text("#!/bin/sh\nkill -36 $$\n")  # a real-time signal
    program.chmod(0o700)
    monkeypatch.setattr(local_services, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("sys.executable", str(program))
    with pytest.raises(EmbeddedServiceDies, match="killed by signal 36"):
        await LocalServices(tmp_path, None, ("llama3",)).__aenter__()


@pytest.mark.slow
async def test_one_that_hangs_while_it_starts_is_started_again(tmp_path, faults, monkeypatch):
    monkeypatch.setattr(local_services, "START_SECONDS", 8.0)
    faults.plan(llama3={"start": "hang 1"})
    async with LocalServices(tmp_path, None, ("llama3",)) as local:
        assert faults.calls()["llama3", "start"] == 2
        assert set(local.addresses) == {"llama3"}


async def test_where_no_process_can_be_started_the_reason_is_given(tmp_path, faults, monkeypatch):
    monkeypatch.setattr(local_services, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    with pytest.raises(EmbeddedServiceDies, match="no process can be started .*No such file"):
        await LocalServices(tmp_path, None, ("llama3",)).__aenter__()


async def test_unusable_settings_are_not_tried_again(tmp_path, faults, monkeypatch):
    monkeypatch.setenv("MERRFLOW_LLAMA3_MAX_QUEUE", "none")
    faults.plan(llama3={"start": "late 9"})
    with pytest.raises(InvalidInput, match="llama3 cannot start: exit code 2 .*MERRFLOW_LLAMA3_MAX_QUEUE"):
        await LocalServices(tmp_path, None, ("llama3",)).__aenter__()
    assert faults.calls()["llama3", "start"] == 1


async def test_one_that_dies_each_time_before_it_is_ready_stops_the_run(tmp_path, faults, monkeypatch):
    monkeypatch.setattr(local_services, "DEATHS_UNREADY", 3)
    faults.plan(llama3={"load": "killed"})
    clips = make_clips(tmp_path / "clips", ["a"])
    with pytest.raises(EmbeddedServiceDies, match="llama3 died 3 times before it was ready: killed by SIGKILL"):
        await annotate(clips, tmp_path / "out", {})
