"""A run of the command with second engines: one of another distribution, and models behind an endpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from benchmarks.support.endpoint import Asked, FakeEndpoint, completion
from tests.plugins.installing import install

pytest.importorskip("openai")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


async def answer(asked: Asked) -> web.StreamResponse:
    """As a model of each kind might."""
    if asked.path.endswith("/transcriptions"):
        return web.json_response({"text": "We won the contract.", "language": "english", "duration": 2.0})
    kinds = set(asked.parts) - {"text"}
    words = {"image_url": "A woman with short hair looks at the camera.", "input_audio": "The voice is loud and fast."}
    text = words[kinds.pop()] if kinds else "yes"
    size = 50 + len(json.dumps(asked.body)) // 4  # a picture or a sound counts, as in a model that takes them
    return web.json_response(completion(text, usage={"prompt_tokens": size, "completion_tokens": 12}))


def test_an_engine_from_outside_and_models_behind_an_endpoint_are_witnesses(tmp_path, prefect):
    site = install(ROOT / "tests/plugins/engine", tmp_path)
    out = tmp_path / "out"
    with FakeEndpoint(answer) as server:
        variables = {**os.environ, **prefect, "PYTHONPATH": str(site)}
        variables["MERRFLOW_ASR"] = "off"
        for name in ("MINIGPT_V2", "QWEN_AUDIO"):
            given = {"OPENAI_BASE_URL": server.url, "OPENAI_MODEL": "tiny"}
            variables |= {f"MERRFLOW_{name}_{word}": value for word, value in given.items()}
        witnesses = ["--witness", "qwen-audio=openai minigpt-v2=openai", "--witness", "llama3=echo"]
        words = [sys.executable, "-c", "from merrflow.cli import main; main()", "run", str(ROOT / "examples/clips")]
        words += ["--out", str(out), *witnesses]
        ended = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert records
    for record in records:
        assert [one["witness"] for one in record["witnesses"]["scene"]] == ["minigpt-v2.openai"]
        assert record["witnesses"]["score_all"][0]["agreement"]["jensen_shannon"] > 0.5
        assert record["origins"]["scene"]["engine"] == "measured"
        assert record["witnesses"]["tone"][0]["origin"]["usage"]["model"] == "tiny-1"  # as the endpoint calls it
    report = (out / "report.html").read_text()
    assert "How far second engines agree" in report and "llama3.echo" in report
    assert "What endpoints took" in report  # what a witness costs is counted too
