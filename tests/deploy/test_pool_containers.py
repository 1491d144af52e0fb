"""Runs by the workers in containers: through the deployment, over replicas, and after one or all of them died."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from merrflow import annotate
from merrflow_serving.catalog import SERVICES
from tests.deploy.stack import CLIPS, Stack, inspect, reason_to_skip
from tests.deploy.test_containers import placeless

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")
COPIES = 4  # of the example clips, for runs that last long enough to be disturbed


@pytest.fixture(scope="module")
def many(images: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two workers and two of llama3, over more clips."""
    clips = tmp_path_factory.mktemp("many")
    for number in range(COPIES):
        for clip in CLIPS.glob("*.mp4"):
            shutil.copy(clip, clips / f"{clip.stem}-{number}.mp4")
    out = tmp_path_factory.mktemp("many-out")
    stack = Stack(out, clips=clips, environment={"LLAMA3_PORT": "0"})
    try:
        stack.up("--scale", "llama3=2", "--scale", "worker=2")
        stack.wait_healthy(*SERVICES, "prefect", "postgres", "worker")
        yield stack
    finally:
        left = stack.down()
    assert not left


class Run(threading.Thread):
    """`merrflow run --server` from a container that is not disturbed."""

    def __init__(self, stack: Stack, name: str, *options: str) -> None:
        super().__init__()
        self._stack = stack
        self.name_ = name
        # In a container of its own: the workers' own may be killed.
        self._command = ["run", "--rm", "-T", "--no-deps", "worker", "run", "/clips", "--out", f"/out/{name}"]
        self._command += ["--server", "--neutral-sample", "1", *options]
        self.start()

    def run(self) -> None:
        self.ended = self._stack.try_to(*self._command, seconds=900)

    def records(self) -> dict:
        self.join(900)
        assert self.ended.returncode == 0, self.ended.stdout + self.ended.stderr
        return placeless(self._stack.out / self.name_)


def wait_for(seen: object, what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.5)


def shard_logs(stack: Stack) -> list[str]:
    """For each worker, what it wrote."""
    ended = [
        subprocess.run(["docker", "logs", one], capture_output=True, text=True) for one in stack.containers("worker")
    ]
    return [one.stdout + one.stderr for one in ended]


def peaks(stack: Stack, name: str) -> int:
    return len(list((stack.out / name / "peaks").glob("*.jpg")))


def whole(stack: Stack, found: dict) -> None:
    """Every clip once, none failed."""
    assert set(found) == {clip.stem for clip in stack.clips.glob("*.mp4")}
    assert {record["reasoning"] is not None for record in found.values()} == {True}


def test_a_run_through_the_deployment_is_a_local_run(stack, tmp_path):
    stack.wait_healthy(*SERVICES, "prefect", "worker")
    given = ["--transcripts", "/clips/transcripts.csv"]
    said = stack.merrflow("run", "/clips", "--out", "/out/deployed", "--server", "--neutral-sample", "1", *given)
    assert "3 clips: 3 done" in said
    annotate(stack.clips, tmp_path, transcripts=stack.clips / "transcripts.csv", neutral_sample=1.0)
    assert placeless(stack.out / "deployed") == placeless(tmp_path)
    again = stack.merrflow("run", "/clips", "--out", "/out/deployed", "--server", "--neutral-sample", "1", *given)
    assert "3 clips: 3 done" in again


def test_prefects_own_command_starts_the_same(stack):
    stack.wait_healthy(*SERVICES, "prefect", "worker")
    parameters = json.dumps({"inputs": ["/clips"], "out": "/out/by-prefect", "neutral_sample": 1.0})
    stack(
        "exec", "-T", "worker", "prefect", "deployment", "run", "annotate/annotate", "--params", parameters, "--watch"
    )
    assert len(placeless(stack.out / "by-prefect")) == len(list(stack.clips.glob("*.mp4")))


def test_both_workers_and_both_replicas_work_and_a_killed_replica_fails_no_clip(many):
    run = Run(many, "replicas", "--shard-size", "3")
    first, second = many.containers("llama3")
    wait_for(lambda: peaks(many, "replicas") >= 3, "clips at work")
    wait_for(
        lambda: all("rpc=" in log_of(one) or '"rpc"' in log_of(one) for one in (first, second)), "both replicas work"
    )
    subprocess.run(["docker", "kill", "--signal", "KILL", first], check=True, capture_output=True)
    whole(many, run.records())
    assert all("shard" in log for log in shard_logs(many)), "both workers had shards"
    subprocess.run(["docker", "start", first], check=True, capture_output=True)


def log_of(container: str) -> str:
    ended = subprocess.run(["docker", "logs", container], capture_output=True, text=True)
    return ended.stdout + ended.stderr


def test_a_killed_worker_ends_with_every_clip_once(many):
    run = Run(many, "killed", "--shard-size", "2")
    wait_for(lambda: peaks(many, "killed") >= 2, "clips at work")
    # The one that has the whole run.
    victim = next(one for one in many.containers("worker") if "annotate into /out/killed" in log_of(one))
    subprocess.run(["docker", "kill", "--signal", "KILL", victim], check=True, capture_output=True)
    found = run.records()
    whole(many, found)
    lines = (many.out / "killed/records.jsonl").read_text().splitlines()
    assert len(lines) == len(found), "each once"
    subprocess.run(["docker", "start", victim], check=True, capture_output=True)


@pytest.mark.skipif(
    os.environ.get("MERRFLOW_TEST_DOCKER_RESTART") != "1",
    reason="set MERRFLOW_TEST_DOCKER_RESTART=1 where the tests may restart Docker's engine",
)
def test_the_stack_goes_on_by_itself_when_docker_restarts(stack):
    stack.wait_healthy(*SERVICES, "prefect", "postgres", "worker")
    started = stack("exec", "-T", "worker", "prefect", "deployment", "run", "annotate/annotate", "--params",
                    json.dumps({"inputs": ["/clips"], "out": "/out/restarted", "neutral_sample": 1.0}))  # fmt: skip
    assert "Created flow run" in started
    wait_for(lambda: peaks(stack, "restarted") >= 1, "a clip at work")
    assert not (stack.out / "restarted/report.html").exists()
    restart_docker()
    wait_for(lambda: (stack.out / "restarted/report.html").exists(), "the run went on to its end", 600)
    assert len(placeless(stack.out / "restarted")) == len(list(stack.clips.glob("*.mp4")))
    stack.wait_healthy(*SERVICES, "prefect", "postgres", "worker")
    for name in (*SERVICES, "prefect", "postgres", "worker"):
        assert inspect(stack.container(name))["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"


def restart_docker() -> None:
    """Ends the engine as a shutdown of the machine does, and starts it again."""
    pid = int(Path("/var/run/docker.pid").read_text())
    command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the engine ends", 120)
    with open("/var/log/dockerd.log", "ab") as log:
        subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    answers = lambda: subprocess.run(["docker", "info"], capture_output=True).returncode == 0  # noqa: E731
    wait_for(answers, "the engine answers again", 120)
