"""The image of a real engine, with torch for the CPU: built, and a tiny model of the original's format run in it."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path

import pytest

from merrflow_serving import health
from tests.deploy.stack import ROOT, docker, log_of, reason_to_skip, wait_for
from tests.ports import free_port
from tests.services.llama3.tiny_llama import write_tiny_llama

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")
IMAGE = "merrflow/test-llama3:torch-cpu"
INDEX = "https://download.pytorch.org/whl"


@pytest.fixture(scope="module")
def torch_index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables for build-images.sh: PyTorch's index or, if that is out of reach, one with the wheel that pip has."""
    try:
        with urllib.request.urlopen(f"{INDEX}/cpu/torch/", timeout=20):
            yield {}
            return
    except OSError:
        pass
    folder = tmp_path_factory.mktemp("index")
    (folder / "cpu/torch").mkdir(parents=True)
    pin = next(line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("torch=="))
    wanted = [f"{pin}+cpu", "--no-deps", "--quiet", "--dest", str(folder / "cpu/torch")]
    if subprocess.run([sys.executable, "-m", "pip", "download", *wanted], capture_output=True).returncode:
        pytest.skip(f"{INDEX}/cpu cannot be reached, and pip finds no {pin}+cpu")
    (wheel,) = (folder / "cpu/torch").glob("*.whl")
    link = f'<a href="{wheel.name}#sha256={sha256(wheel.read_bytes()).hexdigest()}">{wheel.name}</a>'
    (folder / "cpu/torch/index.html").write_text(f"<!DOCTYPE html><html><body>{link}</body></html>")
    bridge = json.loads(docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]
    # An engine that was never started before names the network alone; its own address there is the first.
    host = bridge.get("Gateway") or str(next(ip_network(bridge["Subnet"]).hosts()))
    (folder / "pip.conf").write_text(f"[global]\ntrusted-host = {host}\n")
    serve = partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer((host, free_port()), serve)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"TORCH_INDEX": f"http://{host}:{server.server_port}", "PIP_CONF": str(folder / "pip.conf")}
    server.shutdown()
    server.server_close()


def test_a_tiny_checkpoint_answers_in_the_image_of_torch(torch_index, tmp_path, capsys):
    given = {"EXTRAS": "torch", "TORCH_CUDA": "cpu", "LLAMA3_GPU_IMAGE": IMAGE} | torch_index
    build = [ROOT / "deploy/build-images.sh", "llama3"]
    ended = subprocess.run(build, env=os.environ | given, capture_output=True, text=True, timeout=1200)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "torch 2" in ended.stderr and "is not in the lock" in ended.stderr, "which build of torch it took is said"
    tmp_path.chmod(0o755)
    for path in write_tiny_llama(tmp_path / "tiny").iterdir():
        path.chmod(0o644)  # transformers writes shards that only their owner may read
    words = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
    words += ["-p", "127.0.0.1::50054", "-v", f"{tmp_path}:/models:ro"]
    settings = {"ENGINE": "transformers", "DEVICE": "cpu", "WEIGHTS": "/models/tiny"}
    words += [word for name, value in settings.items() for word in ("-e", f"MERRFLOW_LLAMA3_{name}={value}")]
    container = docker("run", "-d", *words, IMAGE)
    try:
        address = docker("port", container, "50054/tcp").splitlines()[0]
        wait_for(lambda: health.check(address) == (True, "SERVING"), 120, f"{address} does not serve")
        clues = json.dumps({"scene": "One person waves.", "label": "happy", "expressions": ["a smile"]})
        (tmp_path / "clues.json").write_text(clues)
        call = [Path(sys.executable).with_name("merrflow"), "call", "llama3", tmp_path / "clues.json"]
        told = subprocess.run(
            call, env=os.environ | {"MERRFLOW_LLAMA3_ADDRESS": address}, capture_output=True, text=True, timeout=120
        )
        assert "transformers" in told.stdout, told.stdout + told.stderr + log_of(container)
        sizes = subprocess.run([ROOT / "deploy/measure-images.sh", IMAGE], capture_output=True, text=True)
        with capsys.disabled():
            print(f"\n{sizes.stdout}")
    finally:
        docker("rm", "-f", container)
        docker("image", "rm", "-f", IMAGE)
