"""A run on an endpoint that does all that endpoints do wrong: no answer is lost, none invented, none paid for twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import web

from benchmarks.support.endpoint import Asked, FakeEndpoint, completion, error
from tests.orchestrator.fakes import make_video
from tests.paths import ROOT

pytest.importorskip("openai")
pytestmark = pytest.mark.slow
CLIPS = ROOT / "examples/clips"
TEXTS = {"image_url": "A woman looks at the camera.", "input_audio": "The voice is calm.", "": "They seem happy."}
FAULTS = ("storm", "hang", "half", "drop", "empty", "page", "bad gateway", "wrong json", "no end")


class Trouble:
    """Does something wrong at the first requests of each kind; each body is answered well in the end.

    The answer to a body is one that could be told from any other.
    """

    def __init__(self) -> None:
        self.well: Counter[str] = Counter()  # body -> usable answers, which are paid for
        self.tries: Counter[str] = Counter()
        self.did: Counter[str] = Counter()
        self.texts: set[str] = set()
        self.refuses = ""  # what kind of question it refuses
        self.broken = ""  # a kind of question that gets no answer at all, after that of the engine's warm-up
        self.pictures: list[str] = []  # bodies with one, in order; the first is that of the warm-up
        self.model = "tiny-1"

    async def __call__(self, asked: Asked) -> web.StreamResponse:
        whole = json.dumps(asked.body, sort_keys=True).encode() + asked.file
        body = hashlib.sha256(whole).hexdigest()
        kind = next((part for part in asked.parts if part != "text"), "")
        clip = asked.body.get("max_tokens", 0) > 60  # not a question that only finds out whether pictures are read
        if clip and kind == "image_url":
            self.pictures = list(dict.fromkeys([*self.pictures, body]))
        if self.broken and self.broken == kind and clip and body != self.pictures[0]:
            return error(503, "overloaded")
        self.tries[body] += 1
        # Two faults before each answer, others for each body.
        number = int(body[:8], 16) + 4 * self.tries[body]
        if self.tries[body] <= 2:
            return await self._wrong(FAULTS[number % len(FAULTS)], asked)
        if asked.text != "Say: yes.":  # which each service asks when it loads
            self.well[body] += 1
        if self.refuses and self.refuses == kind and clip:
            return web.json_response(completion("", finish_reason="content_filter", model=self.model))
        text = f"{TEXTS[kind]} Sign {body[:6]}."
        if "response_format" in asked.body:
            schema = json.dumps(asked.body["response_format"])
            text = json.dumps({"emotion": "happy" if "happy" in schema else "yes"})
        self.texts.add(text)
        reported = self.model
        if body in self.pictures[1:]:
            self.model = "tiny-2"  # in mid-run, once a clip's picture is described
        size = 50 + len(whole) // 4
        return web.json_response(completion(text, model=reported, usage={"prompt_tokens": size}))

    async def _wrong(self, fault: str, asked: Asked) -> web.StreamResponse:
        self.did[fault] += 1
        if fault == "storm":
            return error(429, "slow down", headers={"Retry-After": "0.2"})
        if fault == "hang":
            await asyncio.sleep(60)
        if fault in ("half", "drop"):
            response = web.StreamResponse(headers={"Content-Length": "500", "Content-Type": "application/json"})
            await response.prepare(asked.request)
            if fault == "half":
                await response.write(b'{"choices": [{"message": {"content": "An invented')
            assert asked.request.transport
            asked.request.transport.abort()
            return response
        if fault == "empty":
            return web.json_response(completion("An invented answer.") | {"choices": []})
        if fault == "page":
            return web.Response(text="<html>An invented answer.</html>", content_type="text/html")
        if fault == "bad gateway":
            return web.Response(text="<html>An invented answer.</html>", content_type="text/html", status=502)
        if fault == "wrong json":
            return web.json_response({"answer": "An invented answer."})
        return web.json_response(completion("An invented answer.", finish_reason=None))


def run(
    url: str, folder: Path, prefect: Mapping[str, str], clips: Path = CLIPS, **more: str
) -> subprocess.CompletedProcess[str]:
    variables = {**prefect, "MERRFLOW_ASR": "off"} | more
    for name in ("MINIGPT_V2", "QWEN_AUDIO", "LLAMA3"):
        given = {"ENGINE": "openai", "OPENAI_BASE_URL": url, "OPENAI_MODEL": "tiny", "OPENAI_TIMEOUT_SECONDS": "2"}
        variables |= {f"MERRFLOW_{name}_{word}": value for word, value in given.items()}
    words = [sys.executable, "-c", "from merrflow.cli import main; main()"]
    words += ["run", str(clips), "--out", str(folder / "out")]
    return subprocess.run(words, env=os.environ | variables, capture_output=True, text=True, timeout=400)


def records_in(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "out/records.jsonl").read_text().splitlines()]


def test_nothing_is_lost_invented_or_paid_for_twice(tmp_path, prefect):
    model = Trouble()
    make_video(tmp_path / "nobody.mp4", "red")
    with FakeEndpoint(model) as endpoint:
        assert run(endpoint.url, tmp_path / "loading", prefect, tmp_path / "nobody.mp4").returncode == 0
        loading = set(model.well)  # what engines ask whenever they load
        first = run(endpoint.url, tmp_path, prefect)
        assert first.returncode == 0, first.stderr
        paid, tries = dict(model.well), sum(model.tries.values())
        records = records_in(tmp_path)
        again = run(endpoint.url, tmp_path, prefect)
    assert again.returncode == 0 and records_in(tmp_path) == records
    assert {body for body in model.well if model.well[body] != paid[body]} <= loading, "a rerun asks for nothing"
    assert {paid[body] for body in paid if body not in loading} == {1}, "each answer is paid for once"
    assert set(FAULTS) == set(model.did), model.did
    assert len(records) >= 2
    for record in records:
        assert "invented" not in json.dumps(record)
        assert record["scene"]["text"] in model.texts, "as the endpoint gave it"
        assert record["tone"]["text"] == "The speaker's tone is calm.", "its first sentence, in MERR's form"
        assert all(record["origins"][clue]["usage"]["calls"] >= 3 for clue in ("scene", "tone"))
    seen = {origin["usage"]["model"] for one in records for origin in one["origins"].values() if origin.get("usage")}
    assert seen == {"tiny-1", "tiny-2"}, "each answer says which model gave it"
    print(f"{len(paid)} answers, {tries} requests, {dict(model.did)}")


def test_what_an_endpoint_refuses_or_cannot_answer_is_an_outcome_and_the_rest_is_paid_for_once(tmp_path, prefect):
    model = Trouble()
    model.refuses, model.broken = "input_audio", "image_url"
    with FakeEndpoint(model) as endpoint:
        # Not for eight minutes; the services themselves would go on.
        quick = {"MERRFLOW_MINIGPT_V2_MAX_RUN_SECONDS": "15", "MERRFLOW_RETRY_SECONDS": "5"}
        first = run(endpoint.url, tmp_path, prefect, **quick)
        assert first.returncode == 1, "some clips need another run"
        before = Counter(model.well)
        model.broken = ""
        second = run(endpoint.url, tmp_path, prefect)
    assert second.returncode == 0, second.stderr
    sounds = [record["origins"]["tone"] for record in records_in(tmp_path)]
    assert sounds and all("refused" in json.dumps(record) for record in records_in(tmp_path))
    new = model.well - before
    assert new and max(new.values()) == 1
