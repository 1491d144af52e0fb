"""The client without any of this project's code, run as it is, and `merrflow call`, against the embedded services."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from merrflow.pipeline.local_services import LocalServices
from merrflow_serving.catalog import NEEDED, SERVICES

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "examples/clips/surprise_visit.mp4"


@pytest.mark.slow
async def test_the_documented_client_gets_all_four_answers_and_call_gives_json(tmp_path, monkeypatch):
    monkeypatch.setenv("MERRFLOW_OPENFACE_AU_MEDIAPIPE_PROCESSES", "1")  # it asks for one clip
    code = (ROOT / "examples/clients/python/reflection.py").read_text()
    assert not re.search(r"^\s*(import|from) merrflow", code, re.MULTILINE), "it uses none of this project's code"
    asked = [entry for entry in SERVICES.values() if str(entry.port) in code]
    assert len(asked) == 4
    picture = tmp_path / "picture.jpg"
    from merrflow_serving.media.images import encode_jpeg
    from merrflow_serving.media.video import read_frames

    picture.write_bytes(encode_jpeg(read_frames(CLIP, {30})[30].image))
    clues = tmp_path / "clues.json"
    clues.write_text(json.dumps({"tone": "The voice is loud and fast.", "subtitle": "Get out!", "label": "angry"}))
    async with LocalServices(tmp_path / "logs", None) as local:
        for entry in asked:
            port = local.addresses[entry.name].rsplit(":", 1)[1]
            code = code.replace(str(entry.port), port)
        ended = subprocess.run(
            [sys.executable, "-c", code, str(CLIP), str(picture)],
            env=os.environ | {"MERRFLOW_TOKEN": local.token},
            capture_output=True,
            text=True,
            timeout=300,
        )
        addresses = {f"{entry.env_prefix}ADDRESS": local.addresses[entry.name] for entry in map(SERVICES.get, NEEDED)}
        called = subprocess.run(
            [sys.executable, "-c", "from merrflow.cli import main; main()", "call", "llama3", str(clues)],
            env=os.environ | addresses | {"MERRFLOW_TOKEN": local.token},
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert ended.returncode == 0, ended.stderr
    for entry in asked:
        assert entry.proto in ended.stdout
    assert "grpc.health.v1.Health" in ended.stdout
    assert re.search(r"frame \d+ at [\d.]+ s: \{.*'AU", ended.stdout)
    assert re.search(r"scene: .*person", ended.stdout)
    assert re.search(r"tone: .*voice", ended.stdout)
    assert re.search(r"reasoning: \w+", ended.stdout)
    assert "SmolLM2" in ended.stdout
    assert re.search(r"likely: \{.happy.: 0\.\d", ended.stdout)
    assert called.returncode == 0, called.stderr
    reply = json.loads(called.stdout)
    assert "angry" in reply["text"] and reply["engine"]["model"] == "SmolLM2-135M-Instruct"
