"""The images, and services of docker-compose.yml by themselves, for real: start, drain, clean up, refuse.

Takes minutes, a Docker engine and (the first time) a package index, so only with MERRFLOW_TEST_DOCKER=1.
"""

from __future__ import annotations

import socket
import subprocess

import pytest

from merrflow_serving import health
from tests.deploy.stack import DIALECTS, ROOT, Stack, inspect, installed, log_of, reason_to_skip, variable

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")


def test_images_are_small_and_start_soon(images, capsys):
    ended = subprocess.run([ROOT / "deploy/measure-images.sh"], capture_output=True, text=True)
    with capsys.disabled():
        print(f"\n{ended.stdout}")
    assert ended.returncode == 0, ended.stdout + ended.stderr


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
