"""A run whose pictures, sound, speech and texts are all read by models behind an endpoint that counts its requests."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web

from benchmarks.support.endpoint import Asked, FakeEndpoint, completion
from tests.orchestrator.fakes import make_video

pytest.importorskip("openai")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
CLIPS = ROOT / "examples/clips"
KEY = "sk-must-not-be-kept-0123456789"
SERVICES = ("MINIGPT_V2", "QWEN_AUDIO", "LLAMA3", "WHISPER")


class Model:
    """Answers as a model of each kind might; counts what it answered; holds new texts back while `hold` is set."""

    def __init__(self) -> None:
        self.answered: Counter[str] = Counter()
        self.held = 0
        self.hold = False

    async def __call__(self, asked: Asked) -> web.StreamResponse:
        if asked.path.endswith("/transcriptions"):
            self.answered[f"sound {hashlib.sha256(asked.file).hexdigest()}"] += 1
            return web.json_response({"text": "We won the contract.", "language": "english", "duration": 2.0})
        kinds = set(asked.parts) - {"text"}
        reasons = not kinds and "response_format" not in asked.body and asked.body.get("max_tokens", 0) > 60
        key = hashlib.sha256(json.dumps(asked.body, sort_keys=True).encode()).hexdigest()
        while reasons and self.hold and key not in self.answered:
            self.held += 1
            await asyncio.sleep(3600)
        words = {"image_url": "A woman with short hair looks at the camera.", "input_audio": "The voice is calm."}
        text = words[kinds.pop()] if kinds else "The person seems happy, because of the smile and of the words."
        if "response_format" in asked.body:
            schema = json.dumps(asked.body["response_format"])
            text = json.dumps({"emotion": "happy" if "happy" in schema else "yes"})
        self.answered[key] += 1
        size = 50 + len(json.dumps(asked.body)) // 4
        return web.json_response(completion(text, usage={"prompt_tokens": size, "completion_tokens": 12}))


@pytest.fixture
def endpoint():
    model = Model()
    with FakeEndpoint(model) as server:
        yield server, model


def command(out: Path, url: str, prefect: Mapping[str, str], clips: Path = CLIPS) -> tuple[list[str], dict[str, str]]:
    variables = {**prefect, "MERRFLOW_ASR": "on"}
    for name in SERVICES:
        prefix = f"MERRFLOW_{name}_"
        given = {"ENGINE": "openai", "OPENAI_BASE_URL": url, "OPENAI_MODEL": "tiny", "OPENAI_API_KEY": KEY}
        variables |= {prefix + word: value for word, value in given.items()}
    words = [sys.executable, "-c", "from merrflow.cli import main; main()", "run", str(clips), "--out", str(out)]
    return words, os.environ | variables


def run(*arguments) -> subprocess.CompletedProcess:
    words, variables = command(*arguments)
    return subprocess.run(words, env=variables, capture_output=True, text=True, timeout=300)


def test_a_run_that_is_killed_and_goes_on_pays_for_each_answer_once(endpoint, prefect, tmp_path):
    server, model = endpoint
    out = tmp_path / "out"
    make_video(tmp_path / "nobody.mp4", "red")
    assert run(tmp_path / "nobody", server.url, prefect, tmp_path / "nobody.mp4").returncode == 0
    loading = set(model.answered)  # what engines ask whenever they load; no clip had a face
    model.hold = True
    words, variables = command(out, server.url, prefect)
    with (tmp_path / "log").open("wb") as log:
        first = subprocess.Popen(words, env=variables, stdout=log, stderr=log)
        deadline = time.monotonic() + 240
        while not model.held:  # all other clues of a clip are there, and it waits for its text
            assert time.monotonic() < deadline and first.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.2)
        time.sleep(5)  # what was answered is kept, for the other clips too
        first.kill()
        first.wait()
    model.hold = False
    before = set(model.answered) - loading
    assert before
    done = run(out, server.url, prefect)
    assert done.returncode == 0, done.stderr
    paid = {asked: times for asked, times in model.answered.items() if asked not in loading}
    assert set(paid.values()) == {1}, "no request was answered twice"
    assert set(paid) > before
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert records
    for record in records:
        for clue in ("scene", "tone", "score_all", "reasoning"):
            took = record["origins"][clue]["usage"]
            assert took["endpoint"] == server.url.removeprefix("http://").removesuffix("/v1")
            assert (took["model"], took["fingerprint"]) == ("tiny-1", "fp_1") and took["calls"] >= 1
            assert took["input_tokens"] and took["output_tokens"] and took["prompt_version"]
        assert record["origins"]["score_all"]["method"] == "choice"
    again = run(out, server.url, prefect)
    assert again.returncode == 0
    assert set(model.answered) - loading == set(paid), "a finished run asks nothing"
    assert KEY not in done.stdout + done.stderr + (tmp_path / "log").read_text()
    for text in kept(out):
        assert KEY.encode() not in text and base64.b64encode(KEY.encode()) not in text
    words = [*words[:3], "status", "--out", str(out), "--json"]
    seen = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)["endpoints"]
    (chat,) = [one for one in seen if one["model"] == "tiny-1"]
    assert chat["calls"] >= chat["answers"] >= 4 * len(records) and chat["tokens_per_second"] > 0
    assert "What endpoints took" in (out / "report.html").read_text()


def kept(out: Path):
    """All that a run leaves behind, and what its ledger has packed."""
    for path in out.rglob("*"):
        if path.is_file():
            yield path.read_bytes()
    with sqlite3.connect(out / "ledger.db") as db:
        for (payload,) in db.execute("SELECT payload FROM stages"):
            yield zlib.decompress(payload) if payload else b""


def test_nothing_is_sent_to_a_public_endpoint_without_permission(prefect, tmp_path):
    """192.0.0.9 is a public address at which no machine answers (RFC 7723)."""
    words, variables = command(tmp_path / "out", "http://192.0.0.9:9/v1", prefect)
    done = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=200)
    said = " ".join(done.stderr.split())
    assert done.returncode == 2, said
    assert "minigpt-v2 sends pictures of peak frames and those around them to 192.0.0.9:9 (a public address)" in said
    assert "llama3 sends texts" in said and "--allow-remote" in said
