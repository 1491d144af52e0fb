"""An engine of another distribution: built and installed as its users would, found by entry point, called by gRPC."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow.llama3.v1 import llama3_pb2, llama3_pb2_grpc
from merrflow_serving import health
from merrflow_serving.errors import from_rpc_error

DISTRIBUTION = Path(__file__).parent / "engine"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the distribution, for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(DISTRIBUTION, tmp_path_factory.mktemp("source") / "engine")
    offline = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(folder), str(source)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return folder


def serve(*arguments: str, path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "merrflow_serving", *arguments],
        env=os.environ | {"PYTHONPATH": str(path)} | variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


@contextmanager
def running(folder: Path, *, path: Path, **variables: str) -> Iterator[str]:
    """The llama3 service in a process of its own; yields its address once it is serving."""
    address, log = folder / "address", folder / "log"
    command = [sys.executable, "-m", "merrflow_serving", "llama3", "--port", "0", "--address-file", str(address)]
    with log.open("wb") as errors:
        process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(path)} | variables, stderr=errors)
    try:
        deadline = time.monotonic() + 60
        while not (address.exists() and health.check(address.read_text())[0]):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield address.read_text()
        process.terminate()
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_a_service_runs_the_engine_of_another_distribution(installed: Path, tmp_path: Path) -> None:
    with running(tmp_path, path=installed, MERRFLOW_LLAMA3_ENGINE="echo", MERRFLOW_LLAMA3_ANSWER_TOKENS="4") as address:
        with grpc.insecure_channel(address) as channel:
            info = common_pb2_grpc.EngineStub(channel).Info(common_pb2.InfoRequest())
            assert (info.ready, info.engine.engine, info.limits.max_batch_size) == (True, "echo", 8)
            stub = llama3_pb2_grpc.EmotionReasonerStub(channel)
            clues = llama3_pb2.Clues(scene="A woman at a window.", tone="Her voice is low.")
            reply = stub.Reason(llama3_pb2.ReasonRequest(clip="clip", clues=clues))
            assert (reply.text, reply.outcome) == ("A woman at a", common_pb2.OUTCOME_DONE)
            assert (reply.engine.engine, reply.engine.model, reply.engine.revision) == ("echo", "acme-echo", "0.1.0")
            assert (reply.prompt_tokens, reply.answer_tokens, reply.timing.batch_size) == (9, 4, 1)
            scored = stub.Score(llama3_pb2.ScoreRequest(clues=clues, labels=["sad", "calm"]))
            assert [(one.label, one.probability) for one in scored.scores] == [("sad", 0.5), ("calm", 0.5)]
            assert scored.engine.engine == "echo"
            with pytest.raises(grpc.RpcError) as caught:
                stub.Reason(llama3_pb2.ReasonRequest())
            error = from_rpc_error(caught.value)
            assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "NO_CLUE")


def test_the_help_and_the_error_for_an_unknown_engine_list_it(installed: Path) -> None:
    ended = serve("--help", path=installed)
    assert ended.returncode == 0
    assert "llama3: llamacpp, transformers, vllm, openai, echo (of acme-echo 0.1.0)\n" in ended.stdout
    ended = serve("llama3", "--engine", "other", path=installed)
    assert (ended.returncode, ended.stderr) == (
        2,
        "merrflow-serve: llama3 has no engine 'other'; it has: llamacpp, transformers, vllm, openai; "
        "and from plug-ins: echo (acme-echo 0.1.0)\n",
    )


def test_describe_says_what_the_plug_in_would_be(installed: Path) -> None:
    ended = serve("describe", "llama3", path=installed, MERRFLOW_LLAMA3_ENGINE="echo")
    assert ended.returncode == 0 and '"model": "acme-echo"' in ended.stdout
