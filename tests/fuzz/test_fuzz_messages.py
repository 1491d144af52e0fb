"""A few hundred mutated messages in process and over connections, and whether a fault would be noticed."""

from __future__ import annotations

import time

import grpc
import pytest

from merrflow_llama3 import service as reasoner
from tests.fuzz import messages, requests, services
from tests.fuzz.messages import Result, furnish, fuzz, send
from tests.fuzz.services import rpcs
from tests.fuzz.wire import fuzz_wire


@pytest.fixture(autouse=True)
def _logs_as_before():
    import structlog

    yield
    structlog.reset_defaults()


async def test_mutated_messages_are_answered_or_refused():
    result = await fuzz(range(1500), seed=5)
    assert result.finds == []
    assert result.codes["INVALID_ARGUMENT"] > 100 and result.codes["OK"] > 100  # both ways are tried


async def test_mutated_messages_over_connections():
    result = await fuzz_wire(200, seed=5)
    assert result.finds == []
    assert isinstance(result, Result) and sum(result.codes.values()) == 200


async def test_whole_requests_are_answered_by_every_rpc(tmp_path):
    furnish(tmp_path)
    async with rpcs(tmp_path) as known:
        assert {*requests.TYPES} <= {*known} and len(known) == len(requests.TYPES) + 5  # an Info each
        for rpc in known.values():
            for message in requests.whole(rpc.label, tmp_path)[:1]:
                parts = list(requests.whole(rpc.label, tmp_path)) if rpc.streams else [message]
                assert await send(rpc, parts) is grpc.StatusCode.OK, rpc.label


@pytest.mark.parametrize("name", ["loop", "x" * 5000, "link", "pipe", "folder", "", "../../etc/passwd"])
async def test_paths_that_no_service_follows(tmp_path, name):
    furnish(tmp_path)
    kind = requests.TYPES["qwen-audio Describe"]
    async with rpcs(tmp_path) as known:
        message = kind(audio={"path": f"{tmp_path}/{name}"}).SerializeToString()
        assert await send(known["qwen-audio Describe"], [message]) is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_fault_in_a_service_is_a_find(monkeypatch):
    def broken(labels, tokens):
        raise KeyError("a bug")

    monkeypatch.setattr(services, "clean_labels", broken)  # warming up does not need it
    found = (await fuzz(range(300), seed=5)).finds
    assert found and all("llama3 Score: INTERNAL" in what and "a bug" in what for _, what in found)


async def test_a_leak_is_a_find(monkeypatch):
    kept = []
    real = reasoner.clean_labels
    monkeypatch.setattr(reasoner, "clean_labels", lambda labels: kept.append(b"x" * (5 << 20)) or real(labels))
    monkeypatch.setattr(messages, "ROUGH", 100)
    finds = (await fuzz(range(700), seed=5)).finds
    assert len(finds) == 1 and "a leak" in finds[0][1], finds


async def test_clues_of_megabytes_are_refused_before_anything_reads_them(tmp_path):
    furnish(tmp_path)
    long = {"subtitle": "word " * 600_000}
    async with rpcs(tmp_path) as known:
        for label, more in (("llama3 Reason", {}), ("llama3 Score", {"labels": ["angry", "sad"]})):
            message = requests.TYPES[label](clues=long, **more).SerializeToString()
            began = time.process_time()
            assert await send(known[label], [message]) is grpc.StatusCode.INVALID_ARGUMENT
            assert time.process_time() - began < 1
