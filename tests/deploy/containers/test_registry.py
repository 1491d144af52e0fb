"""Images pushed to a registry and pinned from it, by their digests; against Debian's docker-registry."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.deploy.stack import ROOT, docker, reason_to_skip, wait_for
from tests.ports import free_port

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")
IMAGE = "merrflow/test-published:0.1.0"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of one, with nothing in it."""
    if not shutil.which("docker-registry"):
        pytest.skip("docker-registry is not installed (Debian: apt-get install docker-registry)")
    address = f"127.0.0.1:{free_port()}"
    config = f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\nhttp: {{addr: {address}}}\n"
    (tmp_path / "config.yml").write_text(config)
    process = subprocess.Popen(["docker-registry", "serve", tmp_path / "config.yml"], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: urlopen(f"http://{address}/v2/", timeout=5).status == 200, 30, "the registry does not answer")
        yield address
    finally:
        process.terminate()
        process.wait()


def script(name: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [ROOT / "deploy" / name, *arguments]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=120)


def test_what_is_pushed_is_signed_and_named_by_its_digest_and_can_be_pinned(registry, tmp_path):
    (tmp_path / "image").mkdir()
    (tmp_path / "image/Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    docker("build", "-q", "-t", IMAGE, str(tmp_path / "image"))
    there = f"{registry}/merrflow/test-published"
    try:
        given = {"LLAMA3_IMAGE": IMAGE, "COSIGN": "echo signed"}
        ended = script("publish-images.sh", f"{registry}/merrflow", "LLAMA3_IMAGE", **given)
        assert ended.returncode == 0, ended.stderr
        (line,) = ended.stdout.splitlines()
        assert line.startswith(f"LLAMA3_IMAGE={there}@sha256:")
        digest = line.partition("@")[2]
        assert f"signed {there}@{digest}\n" in ended.stderr
        (tmp_path / ".env").write_text(f"# images\nSOME_IMAGE={there}:0.1.0\nOTHER=1\n")
        for _ in range(2):  # what is pinned is pinned again
            ended = script("pin-images.sh", "SOME_IMAGE", ENV_FILE=str(tmp_path / ".env"))
            assert ended.returncode == 0, ended.stderr
            assert (tmp_path / ".env").read_text() == f"# images\nSOME_IMAGE={there}:0.1.0@{digest}\nOTHER=1\n"
    finally:
        subprocess.run(["docker", "image", "rm", "-f", IMAGE, f"{there}:0.1.0"], capture_output=True)


def test_a_variable_that_env_lacks_is_named():
    for name, arguments in (("publish-images.sh", ("registry.example", "NO_IMAGE")), ("pin-images.sh", ("NO_IMAGE",))):
        ended = script(name, *arguments)
        assert ended.returncode == 2 and "NO_IMAGE" in ended.stderr
