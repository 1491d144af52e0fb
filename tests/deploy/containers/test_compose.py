"""The images and docker-compose.yml for real: build, start, annotate, compare with a local run, drain, clean up.

Takes minutes, a Docker engine and (the first time) a package index, so only with MERRFLOW_TEST_DOCKER=1.
"""

from __future__ import annotations

import socket
import subprocess
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from merrflow_serving import health
from merrflow_serving.catalog import NEEDED
from tests.deploy.stack import DIALECTS, ROOT, Stack, inspect, installed, log_of, reason_to_skip, variable
from tests.records import timeless

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")
TRANSCRIPTS = ("--transcripts", "/clips/transcripts.csv")


def placeless(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of a run without times, and without the clips' folder."""
    return {name: record | {"path": ""} for name, record in timeless(folder).items()}


def test_images_are_small_and_start_soon(images, capsys):
    ended = subprocess.run([ROOT / "deploy/measure-images.sh"], capture_output=True, text=True)
    with capsys.disabled():
        print(f"\n{ended.stdout}")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_all_become_healthy(stack):
    stack.wait_healthy(*NEEDED, "postgres", "prefect", "worker")
    for name in NEEDED:
        ports = stack.published(name)
        assert len(set(ports)) == 2 if name == "llama3" else ports == [stack.ports[name]]
        assert all(health.check(f"127.0.0.1:{port}") == (True, "SERVING") for port in ports)
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.ports['prefect']}/", timeout=10) as page:
        assert b"<title>Prefect" in page.read()


@pytest.mark.parametrize("name", [*NEEDED, "worker"])
def test_image_is_without_root_and_says_what_it_is(stack, name):
    for container in map(inspect, stack.containers(name)):
        image = inspect(container["Image"])
        assert image["Config"]["User"] == "merrflow"
        labels = image["Config"]["Labels"]
        assert labels["org.opencontainers.image.title"] == ("merrflow" if name == "worker" else f"merrflow {name}")
        assert len(labels["org.opencontainers.image.revision"]) == 40
        assert container["HostConfig"]["ReadonlyRootfs"] and container["HostConfig"]["Memory"]


def test_services_are_reached_from_the_worker(stack):
    stack.wait_healthy(*NEEDED)
    table = stack.merrflow("services")
    replicas = sum(len(stack.containers(name)) for name in NEEDED)
    assert table.count("SERVING") == replicas and "NOT_SERVING" not in table


def test_a_run_gives_what_a_local_run_gives(stack, local_run):
    stack.wait_healthy("worker")
    stack.merrflow("run", "/clips", "--out", "/out/exec", *TRANSCRIPTS, "--neutral-sample", "1")
    contained = placeless(stack.out / "exec")
    assert len(contained) == len(list(stack.clips.glob("*.mp4")))
    assert contained == placeless(local_run)
    for file in ("merr/MERR_coarse_grained.json", "merr/MERR_fine_grained.json"):
        assert (stack.out / "exec" / file).read_text() == (local_run / file).read_text()
    assert not (stack.out / "exec/ledger.db").exists(), "its ledger is in PostgreSQL"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_replicas_of_a_service_alone_have_ports_of_their_own_drain_and_leave_nothing(images, dialect, tmp_path):
    if not installed(DIALECTS[dialect]):
        pytest.skip(f"{dialect} is not installed")
    anywhere = {"QWEN_AUDIO_PORT": "0", "QWEN_AUDIO_REPLICAS": "2"}
    stack = Stack(tmp_path, "deploy/compose/replicas.yml", command=DIALECTS[dialect], environment=anywhere)
    try:
        stack.up("qwen-audio")
        stack.wait_healthy("qwen-audio")
        assert not stack.containers("postgres") and not stack.containers("prefect")
        ports = stack.published("qwen-audio")
        assert len(set(ports)) == 2
        assert all(health.check(f"127.0.0.1:{port}") == (True, "SERVING") for port in ports)
        identities = stack.containers("qwen-audio")
        stack("stop", "qwen-audio")
        for identity in identities:
            assert inspect(identity)["State"]["ExitCode"] == 0, "it ended by itself"
            assert "draining" in log_of(identity)
    finally:
        left = stack.down()
    assert not left


def refused(stack: Stack, *services: str) -> str:
    """What Compose says to an `up` that must fail."""
    try:
        ended = stack.try_to("up", "-d", "--no-build", *services)
        assert ended.returncode != 0, ended.stdout
        return ended.stderr
    finally:
        stack.down()


def test_a_port_in_use_is_named(images, tmp_path):
    stack = Stack(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken = listening.getsockname()[1]
        stack.environment["QWEN_AUDIO_PORT"] = str(taken)
        said = refused(stack, "qwen-audio")
    assert f"127.0.0.1:{taken}" in said and "address already in use" in said


def test_a_missing_clips_folder_is_named_and_not_made(images, tmp_path):
    missing = tmp_path / "missing"
    said = refused(Stack(tmp_path, clips=missing), "--no-deps", "worker")
    assert f"bind source path does not exist: {missing}" in said
    assert not missing.exists()


@pytest.mark.parametrize("name", ["minigpt-v2", "qwen-audio", "llama3"])
def test_the_real_engines_without_nvidia_are_refused(images, name, tmp_path):
    runtimes = subprocess.run(["docker", "info", "-f", "{{json .Runtimes}}"], capture_output=True, text=True).stdout
    if "nvidia" in runtimes:
        pytest.skip("this machine has NVIDIA's runtime")
    # The embedded image does for this: Docker refuses before it runs anything.
    prefix = variable(name)
    small = {f"{prefix}_GPU_IMAGE": f"merrflow/{name}:0.1.0"}
    said = refused(Stack(tmp_path, "deploy/compose/gpu.yml", environment=small), name)
    assert 'could not select device driver "nvidia"' in said
