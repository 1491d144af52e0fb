"""The clients that docs/calling-services.md shows, run as they are: against qwen-audio, and against its troubles."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shutil
import sys
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc as pb_grpc
from merrflow_serving.errors import NotReady, QueueFull
from merrflow_serving.server import Server
from merrflow_serving.settings import ServiceSettings
from tests.services.serving.toy import SPEC, Toy, ToyEngine

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "examples/clients"
CLIP = ROOT / "examples/clips/surprise_visit.mp4"
GRPCURL = shutil.which("grpcurl") or shutil.which("grpcurl", path=str(Path(sys.executable).parent))
NODE = shutil.which("node") if (CLIENTS / "node/node_modules").is_dir() else None
COMMANDS = {
    "python": [sys.executable, str(CLIENTS / "python/tone.py")],
    "python-grpc": [sys.executable, str(CLIENTS / "python/tone_grpc.py")],
    "grpcurl": [str(CLIENTS / "grpcurl/tone.sh")],
    "node": [str(NODE), str(CLIENTS / "node/tone.js")],
}
LANGUAGES = pytest.mark.parametrize(
    "language",
    [
        "python",
        "python-grpc",
        pytest.param("grpcurl", marks=pytest.mark.skipif(not GRPCURL, reason="grpcurl is not installed")),
        pytest.param("node", marks=pytest.mark.skipif(not NODE, reason="npm install in examples/clients/node first")),
    ],
)


@dataclass(frozen=True)
class Ended:
    code: int | None
    out: str
    errors: str


async def ask(language: str, file: Path, address: str) -> Ended:
    process = await asyncio.create_subprocess_exec(
        *COMMANDS[language],
        str(file),
        address,
        env=os.environ | {"GRPCURL": str(GRPCURL)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
    return Ended(process.returncode, out.decode(), errors.decode())


@pytest.mark.parametrize("file", ["python/tone.py", "python/tone_grpc.py", "grpcurl/tone.sh", "node/tone.js"])
def test_the_page_shows_the_files_as_they_are(file: str) -> None:
    blocks = re.findall(r"```\w+\n(.*?)```", (ROOT / "docs/calling-services.md").read_text(), re.DOTALL)
    assert (CLIENTS / file).read_text() in blocks


@pytest.mark.parametrize(
    ("file", "needed"),
    [
        ("tone.py", {"merrflow"}),
        ("tone_grpc.py", {"grpc", "merrflow.common.v1", "merrflow.qwen_audio.v1"}),
    ],
)
def test_what_a_python_client_needs(file: str, needed: set[str]) -> None:
    tree = ast.parse((CLIENTS / "python" / file).read_text())
    names = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    others = {name for name in names if name.split(".")[0] not in sys.stdlib_module_names}
    assert others == needed


def swelling_tone(path: Path) -> Path:
    """20 s of it: 1.9 MB."""
    seconds = np.arange(20 * 48_000) / 48_000
    samples = 8000 * np.sin(2 * np.pi * 180 * seconds) * (0.5 + 0.5 * np.sin(2 * np.pi * seconds))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


@asynccontextmanager
async def embedded(folder: Path) -> AsyncIterator[str]:
    """qwen-audio with its embedded engine, without a token, as `merrflow serve` starts it. Its address."""
    file = folder / "address"
    arguments = ("qwen-audio", "--port", "0", "--address-file", str(file), "--stop-with-stdin")
    with (folder / "service.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "merrflow_serving", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(60):
            while not file.exists():
                assert process.returncode is None, (folder / "service.log").read_text()
                await asyncio.sleep(0.05)
        yield file.read_text()
    finally:
        process.stdin.close()
        await process.wait()


@LANGUAGES
async def test_each_client_asks_the_embedded_service(tmp_path: Path, monkeypatch, language: str) -> None:
    monkeypatch.setenv("MERRFLOW_QWEN_AUDIO_MAX_MESSAGE_MIB", "1")  # so that a megabyte must be streamed
    large = swelling_tone(tmp_path / 'a tone "片".wav')
    assert CLIP.stat().st_size < 1 << 20 < large.stat().st_size
    (tmp_path / "x.wav").write_text("no sound")
    async with embedded(tmp_path) as address:
        voice, sound, bad = [await ask(language, file, address) for file in (CLIP, large, tmp_path / "x.wav")]
    assert voice.code == 0, voice.errors
    assert (
        re.search(r"The voice is .*\.", voice.out)
        and ("content: speech" if language == "python" else "CONTENT_SPEECH") in voice.out
        and "silero" in voice.out
    )
    assert sound.code == 0, sound.errors
    assert "no speech" in sound.out
    assert bad.code not in (0, None) and not bad.out
    assert re.search(r"INVALID_?ARGUMENT", bad.errors, re.IGNORECASE)


class Flaky(Toy):
    """Full at first, then restarting, then well."""

    def __init__(self, service) -> None:
        super().__init__(service)
        self.troubles = [QueueFull("256 requests wait"), NotReady("draining")]

    async def Describe(self, request, context):  # noqa: N802
        if self.troubles:
            raise self.troubles.pop(0)
        return await super().Describe(request, context)


@asynccontextmanager
async def toy(**settings) -> AsyncIterator[Server]:
    def register(service, server) -> None:
        pb_grpc.add_ToneDescriberServicer_to_server(Flaky(service), server)

    server = Server(replace(SPEC, register=register), ServiceSettings(port=0, drain_seconds=1, **settings))
    await server.start()
    try:
        yield server
    finally:
        ToyEngine.load_fault = None
        ToyEngine.loading.set()
        await server.stop()


@LANGUAGES
@pytest.mark.parametrize("size", [10, 2 << 20])
async def test_what_may_pass_is_tried_again(tmp_path: Path, language: str, size: int) -> None:
    (tmp_path / "x.wav").write_bytes(b"a" * size)
    async with toy(max_message_mib=3 if size < 1 << 20 else 1) as server:
        ended = await ask(language, tmp_path / "x.wav", server.address)
    assert ended.code == 0, ended.errors
    assert "A" * size in ended.out


@LANGUAGES
async def test_a_service_that_cannot_work_is_not_waited_for(tmp_path: Path, language: str) -> None:
    (tmp_path / "x.wav").write_bytes(b"a")
    ToyEngine.load_fault = NotReady("the disk is full; make room", reason="STORAGE")
    async with toy() as server:
        await server.wait_ready()
        ended = await ask(language, tmp_path / "x.wav", server.address)
    assert ended.code == 1
    assert "the disk is full; make room" in ended.errors


@LANGUAGES
async def test_a_model_that_still_loads_is_waited_for(tmp_path: Path, monkeypatch, language: str) -> None:
    (tmp_path / "x.wav").write_bytes(b"a")
    ToyEngine.loading.clear()
    async with toy() as server:
        asked, describe = asyncio.Event(), server.service.describe
        monkeypatch.setattr(server.service, "describe", lambda: asked.set() or describe())
        asking = asyncio.create_task(ask(language, tmp_path / "x.wav", server.address))
        await asyncio.wait_for(asked.wait(), 60)  # a busy machine may take long to start the client
        await asyncio.sleep(2)
        ToyEngine.loading.set()
        ended = await asking
    assert ended.code == 0, ended.errors
    assert "loading its model" in ended.errors
