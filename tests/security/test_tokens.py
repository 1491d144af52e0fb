"""Bearer tokens: who is let in with which, and where one may travel."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Callable
from functools import partial

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from merrflow.clients import Connection
from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow.core.settings_file import load_settings
from merrflow.qwen_audio.v1 import qwen_audio_pb2 as pb
from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc as pb_grpc
from merrflow_serving.credentials import Tokens, is_loopback, read_tokens
from merrflow_serving.errors import STATUS_LOST, InvalidInput, NotReady, from_rpc_error
from merrflow_serving.server import Server
from merrflow_serving.settings import ServiceSettings
from tests.security.conftest import TOKEN
from tests.services.serving.toy import SPEC, ToyEngine


async def refusal(call) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), from_rpc_error(caught.value).reason


async def refusal_of_stream(begin: Callable[[], AsyncIterable[object]]) -> tuple[grpc.StatusCode, str]:
    """That of a stream, which is begun again if gRPC loses the status on the way (`STATUS_LOST`)."""
    for _ in range(10):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(begin()))
        if caught.value.details() != STATUS_LOST:
            break
    return caught.value.code(), from_rpc_error(caught.value).reason


REFUSED = (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REFUSED")
WRONG = [
    None,
    [("authorization", "")],
    [("authorization", TOKEN)],  # without the scheme
    [("authorization", f"Bearer {TOKEN[:-1]}")],
    [("authorization", f"Bearer {TOKEN}0")],
    [("authorization", f"Bearer {TOKEN.upper()}")],
    [("authorization", f"Basic {TOKEN}")],
    [("authorization-bin", f"Bearer {TOKEN}".encode())],
    [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer other")],  # the last one counts, as is written
]


@pytest.mark.parametrize("metadata", WRONG)
async def test_no_call_of_any_kind_gets_in_without_a_good_token(start, metadata):
    server = await start(token=TOKEN)
    ToyEngine.batches.clear()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = pb_grpc.ToneDescriberStub(channel)
        request = pb.DescribeRequest(audio=common_pb2.Media(data=b"voice"))
        info = common_pb2_grpc.EngineStub(channel).Info(common_pb2.InfoRequest(), metadata=metadata)
        assert await refusal(info) == REFUSED
        assert await refusal(stub.Describe(request, metadata=metadata)) == REFUSED
        assert await refusal(stub.DescribeStream(iter(()), metadata=metadata)) == REFUSED
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        ask = reflection_pb2.ServerReflectionRequest(list_services="")

        def listing() -> AsyncIterable[object]:
            return reflection.ServerReflectionInfo(iter([ask]), metadata=metadata)

        assert (await refusal_of_stream(listing))[0] is grpc.StatusCode.UNAUTHENTICATED
        health = health_pb2_grpc.HealthStub(channel)
        watching = partial(health.Watch, health_pb2.HealthCheckRequest(), metadata=metadata)
        assert (await refusal_of_stream(watching))[0] is grpc.StatusCode.UNAUTHENTICATED
        checked = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert checked.status == health_pb2.HealthCheckResponse.SERVING  # probes that can send no token
    assert ToyEngine.batches == []


async def test_merrflows_client_sends_its_token_in_both_kinds_of_calls(start, tmp_path):
    (tmp_path / "tokens").write_text(f"old-token-of-last-year\n\n{TOKEN}\n")
    server = await start(token_file=tmp_path / "tokens", max_message_mib=1)
    for token in (TOKEN, "old-token-of-last-year"):
        connection = Connection("qwen-audio", server.address, load_settings(None, connect_seconds=5.0, token=token))
        try:
            await connection.connect()
            await connection.wait_ready()
            for size in (10, 3 << 20):  # one message, and a stream
                reply = await connection.send(pb.DescribeRequest(), b"a" * size)
                assert reply.text == "A" * size
        finally:
            await connection.close()


async def test_a_client_without_a_good_token_is_told_so_and_starts_nothing(start):
    server = await start(token=TOKEN)
    for settings in ({}, {"token": "another-token-entirely"}):
        connection = Connection("qwen-audio", server.address, load_settings(None, connect_seconds=2.0, **settings))
        try:
            with pytest.raises(NotReady, match="refuses this client: .*set MERRFLOW_TOKEN"):
                await connection.connect()
        finally:
            await connection.close()


async def test_a_token_under_tls_is_a_call_credential(start, certificates):
    server = await start(token=TOKEN, tls_cert=certificates.service.cert, tls_key=certificates.service.key)
    settings = load_settings(None, connect_seconds=2.0, token=TOKEN, tls_ca=str(certificates.ca.cert))
    connection = Connection("qwen-audio", server.address, settings)
    try:
        await connection.connect()
        await connection.wait_ready()
        reply = await connection.send(pb.DescribeRequest(), b"voice")
    finally:
        await connection.close()
    assert reply.text == "VOICE"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "llama3.example"])
async def test_a_service_takes_no_token_in_the_clear_beyond_loopback(host, certificates):
    with pytest.raises(InvalidInput, match="a token without TLS can be read"):
        Server(SPEC, ServiceSettings(host=host, port=0, token=TOKEN))
    Server(SPEC, ServiceSettings(host=host, port=0, token=TOKEN, plain_token=True))
    under_tls = {"tls_cert": certificates.service.cert, "tls_key": certificates.service.key}
    Server(SPEC, ServiceSettings(host=host, port=0, token=TOKEN, **under_tls))


async def test_a_client_sends_no_token_in_the_clear_beyond_loopback():
    seen = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.read(1000))
        writer.close()

    outside = await asyncio.start_server(listen, "0.0.0.0", 0)
    address = f"0.0.0.0:{outside.sockets[0].getsockname()[1]}"  # not loopback by its number, but reached from here
    connection = Connection("qwen-audio", address, load_settings(None, connect_seconds=1.0, token=TOKEN))
    try:
        with pytest.raises(NotReady, match="would be readable on its way to 0.0.0.0"):
            await connection.connect()
    finally:
        await connection.close()
        outside.close()
    assert seen == []


def test_what_is_loopback():
    assert all(map(is_loopback, ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "localhost.example", "127.0.0.1.example", ""]))


async def test_beyond_loopback_without_anything_the_log_warns(start, capsys):
    await start(host="0.0.0.0")
    assert "anyone who reaches this address may call" in capsys.readouterr().out
    await start()
    assert "anyone" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "text", ["short", "with blanks in the middle", "ümlaut-umlaut-umlaut", "tab\tin-the-middle-of-it"]
)
def test_tokens_that_are_none(text, tmp_path):
    with pytest.raises(InvalidInput, match="16 or more printable ASCII") as told:
        read_tokens(text, None, "MERRFLOW_LLAMA3_TOKEN_FILE")
    assert text not in str(told.value) and "MERRFLOW_LLAMA3_TOKEN:" in str(told.value)


def test_a_file_without_a_token_lets_nobody_in_by_mistake(tmp_path):
    (tmp_path / "empty").write_text("\n \n")
    for file, said in (("empty", "holds no token"), ("missing", "cannot be read")):
        with pytest.raises(InvalidInput, match=said):
            Server(SPEC, ServiceSettings(port=0, token_file=tmp_path / file))


def test_all_tokens_are_compared_in_constant_time(monkeypatch):
    """Every token is compared, by `hmac.compare_digest`, whether or not an earlier one was good."""
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda one, other: compared.append(other) or one == other)
    tokens = Tokens(["first-token-of-all", "second-token-of-all"])
    assert tokens.admits([("authorization", "Bearer first-token-of-all")])
    assert not tokens.admits([("authorization", "Bearer third")])
    assert compared == [b"first-token-of-all", b"second-token-of-all"] * 2


async def test_reflection_can_be_turned_off(start):
    for on in (True, False):
        server = await start(reflection=on)
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            answers = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
            if on:
                listed = (await anext(aiter(answers))).list_services_response.service
                assert "merrflow.qwen_audio.v1.ToneDescriber" in [one.name for one in listed]
            else:
                assert (await refusal(anext(aiter(answers))))[0] is grpc.StatusCode.UNIMPLEMENTED


async def test_neither_log_nor_metrics_hold_a_token(start, capsys):
    from prometheus_client import generate_latest

    server = await start(token=TOKEN)
    async with grpc.aio.insecure_channel(server.address) as channel:
        for token in (TOKEN, "wrong-token-of-a-guess"):
            call = common_pb2_grpc.EngineStub(channel).Info(
                common_pb2.InfoRequest(), metadata=[("authorization", f"Bearer {token}")]
            )
            await asyncio.gather(call, return_exceptions=True)
    output = "".join(capsys.readouterr())
    page = generate_latest(server.service.metrics.registry).decode()
    assert "TOKEN_REFUSED" in output and 'reason="TOKEN_REFUSED"' in page
    told = json.dumps(server.service.settings.model_dump(mode="json"))  # what the log of a start holds
    for text in (output, page, told, repr(server.service.settings)):
        assert TOKEN not in text and "wrong-token-of-a-guess" not in text
