"""The embedded services of a run: real processes on loopback that only the run itself may call."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import stat
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from merrflow.clients import Connection
from merrflow.clients.credentials import open_channel
from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow.core.settings import RunSettings
from merrflow.core.settings_file import load_settings
from merrflow.pipeline.local_services import LocalServices
from merrflow_serving.errors import NotReady

NAME = "qwen-audio"


def of_process(pid: int, file: str) -> bytes:
    return Path(f"/proc/{pid}/{file}").read_bytes()


async def stranger(address: str, **metadata: str) -> grpc.StatusCode:
    """How a call of another user of this machine ends."""
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            given = tuple(metadata.items())
            await common_pb2_grpc.EngineStub(channel).Info(common_pb2.InfoRequest(), timeout=10, metadata=given)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


async def ours(local: LocalServices) -> str:
    """The service's name, by merrflow's own client."""
    settings = load_settings(None, connect_seconds=10.0).for_embedded_services(local.token)
    connection = Connection(NAME, local.addresses[NAME], settings)
    try:
        await connection.connect()
        return connection.info.service
    finally:
        await connection.close()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
async def test_only_the_run_itself_may_call_its_embedded_services(tmp_path, monkeypatch, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_TOKEN", "a-token-for-services-of-others")
    async with LocalServices(tmp_path / "logs", None, (NAME,)) as local:
        (address,), (pid,) = local.addresses.values(), local.pids
        assert await stranger(address) is grpc.StatusCode.UNAUTHENTICATED
        others = "Bearer a-token-for-services-of-others"
        assert await stranger(address, authorization=others) is grpc.StatusCode.UNAUTHENTICATED
        assert await ours(local) == NAME
        # A process that dies is started again with the same token, or the run could not go on.
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            while local.pids == [pid]:
                await asyncio.sleep(0.05)
        assert await ours(local) == NAME
        assert await stranger(address) is grpc.StatusCode.UNAUTHENTICATED
        (pid,) = local.pids
        token = local.token.encode()
        assert token in of_process(pid, "environ")
        assert stat.S_IMODE(os.stat(f"/proc/{pid}/environ").st_mode) == 0o400
        assert token not in of_process(pid, "cmdline")
        assert token not in of_process(os.getpid(), "environ") and local.token not in os.environ.values()
    told = "".join(capsys.readouterr()) + caplog.text + repr(load_settings())
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files and not [file for file in files if token in file.read_bytes()]
    assert local.token not in told


def test_each_run_has_a_token_of_its_own(tmp_path):
    tokens = {LocalServices(tmp_path, None).token for _ in range(3)}
    assert len(tokens) == 3 and all(len(token) == 64 for token in tokens)


async def test_the_token_goes_with_the_settings_that_hold_it_and_with_no_others():
    seen: list[object] = []

    class Notes(grpc.aio.ServerInterceptor):
        async def intercept_service(self, proceed, details):
            seen.append(dict(details.invocation_metadata).get("authorization"))
            return await proceed(details)

    server = grpc.aio.server(interceptors=[Notes()])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async def ask(settings: RunSettings) -> object:
        async with open_channel(f"ipv4:127.0.0.1:{port}", "127.0.0.1", [], settings) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        return seen[-1]

    own = load_settings().for_embedded_services("of-the-embedded-service")
    assert await ask(load_settings()) is None
    assert await ask(own) == "Bearer of-the-embedded-service"
    assert await ask(load_settings()) is None
    with pytest.raises(NotReady, match="would be readable on its way"):  # nor does it leave this machine
        open_channel("ipv4:192.0.2.1:50053", "192.0.2.1", [], own)
    assert "of-the-embedded-service" not in repr(own)
    await server.stop(0)
