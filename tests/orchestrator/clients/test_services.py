"""A connection to a service that dies, restarts, stays away, or is another one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from merrflow.clients import Connection, ServiceGone
from merrflow.clients.services import origin_from
from merrflow.common.v1 import common_pb2
from merrflow.core.settings_file import load_settings
from merrflow.core.usage import Usage
from merrflow.llama3.v1 import llama3_pb2
from merrflow.openface_au.v1 import openface_au_pb2
from merrflow.qwen_audio.v1 import qwen_audio_pb2 as pb
from merrflow_serving.errors import EngineFault, NotReady
from tests.paths import ROOT
from tests.ports import free_port

# The toy service, whose engine takes its whole process down on the sound b"poison".
SERVER = """
import asyncio, os, sys
from dataclasses import replace
from tests.services.serving import toy
from merrflow_serving.server import serve
run = toy.ToyEngine.run
def deadly(self, batch):
    if b"poison" in batch:
        os._exit(1)
    return run(self, batch)
toy.ToyEngine.run = deadly
asyncio.run(serve(toy.SPEC, toy.SPEC.settings(port=int(sys.argv[1]))))
"""


class Restarted:
    """The toy service, started again each time it dies, as a supervisor would."""

    def __init__(self) -> None:
        self.port = free_port()
        self.starts = 0
        self._over = False
        self._process: subprocess.Popen | None = None
        self._thread = threading.Thread(target=self._supervise, daemon=True)

    def __enter__(self) -> Restarted:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over = True
        while self._thread.is_alive():  # it may just have started another
            self._process.kill()
            self._thread.join(0.1)

    def _supervise(self) -> None:
        while not self._over:
            self.starts += 1
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVER, str(self.port)],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self._process.wait()


def describe(data: bytes) -> pb.DescribeRequest:
    request = pb.DescribeRequest()
    request.audio.data = data
    return request


async def test_a_clip_that_kills_the_engine_costs_itself_alone():
    settings = load_settings(None, connect_seconds=30.0, retry_seconds=30.0)
    with Restarted() as service:
        connection = Connection("qwen-audio", f"127.0.0.1:{service.port}", settings)
        await connection.connect()
        await connection.wait_ready()
        sounds = [b"a", b"poison", b"b", b"c", b"d", b"e"]
        answers = await asyncio.gather(
            *(connection.unary("Describe", describe(sound)) for sound in sounds), return_exceptions=True
        )
        await connection.close()
    assert isinstance(answers[1], EngineFault) and "each time it worked on this clip" in str(answers[1])
    assert [answer.text for answer in (answers[0], *answers[2:])] == ["A", "B", "C", "D", "E"]
    assert service.starts > 1, "the sound did take the service down"


async def test_a_service_that_stays_away_stops_the_run_and_blames_no_clip():
    settings = load_settings(None, connect_seconds=30.0, retry_seconds=1.0)
    with Restarted() as service:
        connection = Connection("qwen-audio", f"127.0.0.1:{service.port}", settings)
        await connection.connect()
        await connection.wait_ready()
    with pytest.raises(ServiceGone, match="has been away for 1 s"):
        await connection.unary("Describe", describe(b"a"))
    await connection.close()


async def test_another_service_at_the_address_is_noticed():
    with Restarted() as service:
        connection = Connection("llama3", f"127.0.0.1:{service.port}", load_settings(None, connect_seconds=30.0))
        with pytest.raises(NotReady, match="is the service 'qwen-audio', not llama3"):
            await connection.connect()
        await connection.close()


def test_what_an_answer_took_at_an_endpoint_is_in_its_origin():
    took = common_pb2.Usage(endpoint="localhost:8000", model="m-1", fingerprint="fp", prompt_version="2", calls=3)
    took.input_tokens, took.output_tokens, took.seconds, took.audio_seconds = 100, 20, 1.23456, 2.5
    found = origin_from(llama3_pb2.ReasonResponse(usage=took)).usage
    assert found == Usage("localhost:8000", "m-1", "fp", "2", 100, 20, 1.2346, 3, 2.5)
    assert origin_from(llama3_pb2.ReasonResponse()).usage is None
    assert origin_from(openface_au_pb2.DetectResponse()).usage is None, "its answers have no such field"
