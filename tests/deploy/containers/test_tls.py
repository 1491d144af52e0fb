"""deploy/compose/tls.yml for real: certificates by the script, a run through the worker, and everyone else is refused.

Takes a minute and a Docker engine, so only with MERRFLOW_TEST_DOCKER=1.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow_serving.catalog import NEEDED
from tests.deploy.stack import CLIPS, ROOT, Stack, reason_to_skip

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")
# The services' part of the worker alone: a ledger of its own, and Prefect's server within the process.
ALONE = ("-e", "PREFECT_API_URL=", "-e", "MERRFLOW_LEDGER_URL=")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls") / "tls"
    subprocess.run([ROOT / "deploy/make-certificates.sh", folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def guarded(images: None, tls: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The four services with mTLS and a token, and one clip for them."""
    clips = tmp_path_factory.mktemp("clips")
    shutil.copy(CLIPS / "surprise_visit.mp4", clips)
    stack = Stack(tmp_path_factory.mktemp("out"), "deploy/compose/tls.yml", clips=clips, environment={"TLS": str(tls)})
    try:
        stack.up(*NEEDED)
        stack.wait_healthy(*NEEDED)
        yield stack
    finally:
        left = stack.down()
    assert not left


def ask(address: str, tls: Path, *, certificate: bool, token: bool) -> str:
    """The name of the service, or the status with which it refuses."""
    own = tls / "worker"
    pair = [(own / "key.pem").read_bytes(), (own / "cert.pem").read_bytes()] if certificate else []
    credentials = grpc.ssl_channel_credentials((own / "ca.pem").read_bytes(), *pair)
    if token:
        bearer = grpc.access_token_call_credentials((own / "tokens").read_text().strip())
        credentials = grpc.composite_channel_credentials(credentials, bearer)
    with grpc.secure_channel(address, credentials) as channel:
        return _name(channel)


def _name(channel: grpc.Channel) -> str:
    try:
        return common_pb2_grpc.EngineStub(channel).Info(common_pb2.InfoRequest(), timeout=10).service
    except grpc.RpcError as error:
        return error.code().name


def test_a_run_through_the_worker_completes(guarded):
    said = guarded("run", "--rm", "-T", "--no-deps", *ALONE, "worker", "run", "/clips", "--out", "/out/tls",
                   "--neutral-sample", "1")  # fmt: skip
    assert "1 done, 0 skipped, 0 failed" in said, said
    assert (guarded.out / "tls/records.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize("name", NEEDED)
def test_nobody_else_is_let_in(guarded, tls, name):
    address = f"127.0.0.1:{guarded.ports[name]}"
    assert ask(address, tls, certificate=True, token=True) == name
    assert ask(address, tls, certificate=True, token=False) == "UNAUTHENTICATED"
    assert ask(address, tls, certificate=False, token=True) == "UNAVAILABLE"
    with grpc.insecure_channel(address) as channel:
        assert _name(channel) == "UNAVAILABLE"
