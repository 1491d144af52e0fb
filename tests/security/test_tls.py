"""TLS and mTLS between real services and merrflow's own clients."""

from __future__ import annotations

import asyncio
import os
import stat

import grpc
import pytest

from merrflow.cli.services import call_once, look
from merrflow.clients import Connection
from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow.core.settings_file import load_settings
from merrflow_serving import health
from merrflow_serving.credentials import health_socket, make_private
from merrflow_serving.errors import InvalidInput, NotReady
from merrflow_serving.server import Server
from merrflow_serving.service import ServiceSettings
from tests.ports import free_port
from tests.security.certificates import make, sign
from tests.services.serving.toy import SPEC


def tls(certificates, **more) -> dict:
    return {"tls_cert": certificates.service.cert, "tls_key": certificates.service.key, **more}


def by(certificates, who="client", ca="ca") -> dict:
    pair = getattr(certificates, who)
    return {"tls_ca": str(getattr(certificates, ca).cert), "tls_cert": pair.cert, "tls_key": pair.key}


async def ask(address: str, **settings) -> str:
    """The service's name, by merrflow's own client; raises `NotReady` where it is not let in."""
    connection = Connection("qwen-audio", address, load_settings(None, **{"connect_seconds": 0.7} | settings))
    try:
        await connection.connect()
        return connection.info.service
    finally:
        await connection.close()


def named(server: Server) -> str:
    return f"localhost:{server.address.rsplit(':', 1)[1]}"


async def test_with_tls_the_port_takes_nothing_else(start, certificates):
    server = await start(**tls(certificates))
    ca = str(certificates.ca.cert)
    assert await ask(server.address, tls_ca=ca, connect_seconds=10) == "qwen-audio"
    assert (
        await ask(named(server), tls_ca=ca, connect_seconds=10) == "qwen-audio"
    )  # by name, though gRPC is given an address
    with pytest.raises(NotReady, match="may want TLS"):
        await ask(server.address)


async def test_a_service_that_is_someone_else_is_refused(start, certificates, tmp_path):
    server = await start(**tls(certificates))
    with pytest.raises(NotReady, match="not signed by MERRFLOW_TLS_CA"):
        await ask(server.address, tls_ca=str(certificates.other_ca.cert))
    elsewhere = await start(**tls(make(tmp_path, names="DNS:elsewhere")))
    with pytest.raises(NotReady, match="for other names"):
        await ask(elsewhere.address, tls_ca=str(tmp_path / "ca.pem"))


async def test_a_client_that_wants_tls_sends_nothing_to_a_plain_port(start, certificates):
    server = await start()
    with pytest.raises(NotReady, match="takes no TLS"):
        await ask(server.address, tls_ca=str(certificates.ca.cert))


async def test_with_mtls_only_signed_clients_are_let_in(start, certificates):
    server = await start(**tls(certificates, tls_client_ca=certificates.ca.cert))
    assert await ask(server.address, **by(certificates), connect_seconds=10) == "qwen-audio"
    for wrong in ({"tls_ca": str(certificates.ca.cert)}, by(certificates, "stranger")):
        with pytest.raises(NotReady, match="a certificate of this client"):
            await ask(server.address, **wrong)


async def test_a_renewed_certificate_needs_no_restart(start, tmp_path):
    found = make(tmp_path)
    server = await start(**tls(found))
    assert await ask(server.address, tls_ca=str(found.ca.cert), connect_seconds=10) == "qwen-audio"
    renewed = sign(tmp_path, "renewed", found.other_ca, "subjectAltName=IP:127.0.0.1")
    os.replace(renewed.cert, found.service.cert)
    os.replace(renewed.key, found.service.key)
    assert await ask(server.address, tls_ca=str(found.other_ca.cert), connect_seconds=10) == "qwen-audio"
    found.service.cert.write_text("half of a file")  # while it is being written, the last good one stays
    assert await ask(server.address, tls_ca=str(found.other_ca.cert), connect_seconds=10) == "qwen-audio"


async def test_the_health_check_of_a_container_works_with_mtls_and_token(start, certificates, monkeypatch):
    token, port = "a-token-of-health-checks", free_port()
    server = await start(**tls(certificates, tls_client_ca=certificates.ca.cert, token=token, port=port))
    monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_TLS_CERT", str(certificates.service.cert))
    monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_TOKEN", token)
    monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_PORT", str(port))
    assert await asyncio.to_thread(health.main, ["qwen-audio"]) == 0
    server.service.problem = "the weights are missing"
    server._set_health(2)
    assert await asyncio.to_thread(health.check, health.address("qwen-audio"), 5, token) == (
        False,
        "NOT_SERVING: the weights are missing",
    )


async def test_the_health_checks_socket_is_for_one_user_and_asks_for_the_token(start, certificates):
    port = free_port()
    server = await start(**tls(certificates, token="a-token-of-health-checks", port=port))
    socket = health_socket("qwen-audio", port)
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700 and stat.S_ISSOCK(socket.stat().st_mode)
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await common_pb2_grpc.EngineStub(channel).Info(common_pb2.InfoRequest())
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    await server.stop()
    assert not socket.exists()


def test_a_folder_that_others_may_enter_holds_no_socket(tmp_path):
    (tmp_path / "open").mkdir()
    os.chmod(tmp_path / "open", 0o755)
    (tmp_path / "link").symlink_to(tmp_path / "open")
    for folder in ("open", "link"):
        with pytest.raises(InvalidInput, match="of this user alone"):
            make_private(tmp_path / folder)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tls_cert": "cert"}, "TLS_CERT and .*TLS_KEY go together"),
        ({"tls_key": "cert"}, "TLS_CERT and .*TLS_KEY go together"),
        ({"tls_client_ca": "cert"}, "TLS_CLIENT_CA needs"),
        ({"tls_cert": "missing", "tls_key": "missing"}, "missing cannot be read"),
        ({"tls_cert": "text", "tls_key": "text"}, "is not a PEM file"),
    ],
)
def test_settings_that_would_leave_a_service_open_or_mute(settings, said, tmp_path, certificates):
    (tmp_path / "text").write_text("no certificate")
    (tmp_path / "cert").write_bytes(certificates.service.cert.read_bytes())
    paths = {name: tmp_path / file for name, file in settings.items()}
    with pytest.raises(InvalidInput, match=said):
        Server(SPEC, ServiceSettings(port=0, **paths))


def test_half_of_a_clients_settings_is_an_error(certificates):
    from merrflow.core.errors import InputError

    with pytest.raises(InputError, match="tls_cert and tls_key go together"):
        load_settings(None, tls_cert=certificates.client.cert)
    with pytest.raises(InputError, match="needs tls_ca"):
        load_settings(None, tls_cert=certificates.client.cert, tls_key=certificates.client.key)


@pytest.mark.slow
async def test_the_commands_services_and_call_work_with_mtls_and_token(start, certificates, monkeypatch, tmp_path):
    token = "a-token-of-commands"
    server = await start(**tls(certificates, tls_client_ca=certificates.ca.cert, token=token))
    (tmp_path / "voice.wav").write_bytes(b"voice")
    monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_ADDRESS", server.address)
    (shown,) = [one for one in await look(None) if one["service"] == "qwen-audio"]
    assert shown["health"] == "UNREACHABLE" and "may want TLS" in shown["problem"]
    monkeypatch.setenv("MERRFLOW_TLS_CA", str(certificates.ca.cert))
    monkeypatch.setenv("MERRFLOW_TLS_CERT", str(certificates.client.cert))
    monkeypatch.setenv("MERRFLOW_TLS_KEY", str(certificates.client.key))
    (shown,) = [one for one in await look(None) if one["service"] == "qwen-audio"]
    assert shown["health"] == "UNREACHABLE" and "set MERRFLOW_TOKEN" in shown["problem"]
    monkeypatch.setenv("MERRFLOW_TOKEN", token)
    (shown,) = [one for one in await look(None) if one["service"] == "qwen-audio"]
    assert shown["health"] == "SERVING"
    assert '"text": "VOICE"' in await call_once("qwen-audio", tmp_path / "voice.wav", None, lambda text: None)
