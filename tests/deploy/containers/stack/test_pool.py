"""Runs by the workers in containers: through the deployment, over replicas, and after one or all of them died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from merrflow_serving.catalog import NEEDED
from tests.deploy.containers.stack.test_compose import TRANSCRIPTS, placeless
from tests.deploy.locked import ENGINE, locked
from tests.deploy.stack import Stack, docker, inspect, log_of, reason_to_skip, wait_for

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")


class Run(threading.Thread):
    """`merrflow run --server` from a container that is not disturbed."""

    def __init__(self, stack: Stack, name: str, *options: str) -> None:
        super().__init__()
        self._stack = stack
        self.name_ = name
        # In a container of its own: the workers' own may be killed.
        self._command = ["run", "--rm", "-T", "--no-deps", "worker", "run", "/out/many", "--out", f"/out/{name}"]
        self._command += ["--server", "--neutral-sample", "1", *options]
        self.start()

    def run(self) -> None:
        self.ended = self._stack.try_to(*self._command, seconds=900)

    def records(self) -> dict:
        self.join(900)
        assert self.ended.returncode == 0, self.ended.stdout + self.ended.stderr
        return placeless(self._stack.out / self.name_)


def peaks(stack: Stack, name: str) -> int:
    return len(list((stack.out / name / "peaks").glob("*.jpg")))


def whole(stack: Stack, found: dict) -> None:
    """Every clip once, none failed."""
    assert set(found) == {clip.stem for clip in (stack.out / "many").glob("*.mp4")}
    assert {record["reasoning"] is not None for record in found.values()} == {True}


def test_a_run_through_the_deployment_is_a_local_run(stack, local_run):
    stack.wait_healthy(*NEEDED, "prefect", "worker")
    command = ["run", "/clips", "--out", "/out/deployed", "--server", "--neutral-sample", "1", *TRANSCRIPTS]
    assert "3 clips: 3 done" in stack.merrflow(*command)
    assert placeless(stack.out / "deployed") == placeless(local_run)
    assert "3 clips: 3 done" in stack.merrflow(*command)


def test_prefects_own_command_starts_the_same(stack):
    stack.wait_healthy(*NEEDED, "prefect", "worker")
    name = min(clip.name for clip in stack.clips.glob("*.mp4"))
    parameters = json.dumps({"inputs": [f"/clips/{name}"], "out": "/out/by-prefect", "neutral_sample": 1.0})
    stack(
        "exec", "-T", "worker", "prefect", "deployment", "run", "annotate/annotate", "--params", parameters, "--watch"
    )
    assert set(placeless(stack.out / "by-prefect")) == {Path(name).stem}


def test_both_workers_and_both_replicas_work_and_a_killed_replica_fails_no_clip(stack):
    stack.wait_healthy(*NEEDED, "prefect", "worker")
    first, second = stack.containers("llama3")
    before = {one: calls(one) for one in (first, second)}
    logs = {one: len(log_of(one)) for one in stack.containers("worker")}
    run = Run(stack, "replicas", "--shard-size", "3")
    wait_for(lambda: peaks(stack, "replicas") >= 3, 300, "clips at work")
    wait_for(lambda: all(calls(one) > count for one, count in before.items()), 300, "both replicas work")
    docker("kill", "--signal", "KILL", first)
    whole(stack, run.records())
    assert all("shard" in log_of(one)[length:] for one, length in logs.items()), "both workers had shards"
    docker("start", first)


def calls(container: str) -> int:
    """The number of requests in a service's log."""
    log = log_of(container)
    return log.count("rpc=") + log.count('"rpc"')


def test_a_killed_worker_ends_with_every_clip_once(stack):
    stack.wait_healthy(*NEEDED, "prefect", "worker")
    run = Run(stack, "killed", "--shard-size", "2")
    wait_for(lambda: peaks(stack, "killed") >= 2, 300, "clips at work")
    # The one that has the whole run.
    victim = next(one for one in stack.containers("worker") if "annotate into /out/killed" in log_of(one))
    docker("kill", "--signal", "KILL", victim)
    found = run.records()
    whole(stack, found)
    lines = (stack.out / "killed/records.jsonl").read_text().splitlines()
    assert len(lines) == len(found), "each once"
    docker("start", victim)


@pytest.mark.skipif(
    os.environ.get("MERRFLOW_TEST_DOCKER_RESTART") != "1",
    reason="set MERRFLOW_TEST_DOCKER_RESTART=1 if the tests may restart Docker's engine",
)
def test_the_stack_goes_on_by_itself_when_docker_restarts(stack):
    stack.wait_healthy(*NEEDED, "prefect", "postgres", "worker")
    started = stack("exec", "-T", "worker", "prefect", "deployment", "run", "annotate/annotate", "--params",
                    json.dumps({"inputs": ["/clips"], "out": "/out/restarted", "neutral_sample": 1.0}))  # fmt: skip
    assert "Created flow run" in started
    wait_for(lambda: peaks(stack, "restarted") >= 1, 300, "a clip at work")
    assert not (stack.out / "restarted/report.html").exists()
    with locked(ENGINE, alone=True):
        restart_docker()
    wait_for(lambda: (stack.out / "restarted/report.html").exists(), 600, "the run went on to its end")
    assert len(placeless(stack.out / "restarted")) == len(list(stack.clips.glob("*.mp4")))
    stack.wait_healthy(*NEEDED, "prefect", "postgres", "worker")
    for name in (*NEEDED, "prefect", "postgres", "worker"):
        for one in stack.containers(name):
            assert inspect(one)["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def restart_docker() -> None:
    """Ends the engine as a shutdown of the machine does, and starts it again."""
    pid = int(Path("/var/run/docker.pid").read_text())
    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), 120, "the engine ends")
    with open("/var/log/dockerd.log", "ab") as log:
        subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    answers = lambda: subprocess.run(["docker", "info"], capture_output=True).returncode == 0  # noqa: E731
    wait_for(answers, 120, "the engine answers again")
