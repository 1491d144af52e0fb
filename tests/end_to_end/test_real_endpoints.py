"""A run whose clues come from endpoints only, three of them servers that nobody here wrote.

Scenes and speech: `transformers serve` with a tiny random LLaVA and Whisper base. Texts and scores: llama.cpp's own
server with SmolLM2. No server of sound runs here, so the tone is a fake endpoint's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.support.endpoint import FakeEndpoint
from merrflow_llama3.gguf_files import PACKAGED
from tests.paths import ROOT
from tests.services.openai_engines import answering
from tests.services.real_servers import llamacpp_server, transformers_server, write_llava
from tests.services.whisper.checkpoints import write_base
from tests.services.whisper.conftest import models

__all__ = ["models"]
pytestmark = pytest.mark.slow
HEARS = ("multipart", "soundfile", "soxr")  # what `transformers serve` needs to transcribe, and leaves out
CLUES = {
    "scene": "tiny-llava@main",
    "transcript": "whisper-base",
    "tone": "tiny-1",
    "score_all": PACKAGED.find().name,
    "reasoning": PACKAGED.find().name,
}
GIVEN = {"ENGINE": "openai", "OPENAI_TIMEOUT_SECONDS": "100"}


def complete_generation_config(file: Path) -> None:
    """With what transformers' own `generate` reads of Whisper base's published file, and merrflow does not."""
    more = {"bos_token_id": 50257, "pad_token_id": 50257, "decoder_start_token_id": 50258, "max_length": 448}
    more |= {"is_multilingual": True, "lang_to_id": {"<|en|>": 50259}, "no_timestamps_token_id": 50363}
    more |= {"task_to_id": {"transcribe": 50359, "translate": 50358}}
    file.write_text(json.dumps(json.loads(file.read_text()) | more))


@pytest.mark.skipif(not all(map(find_spec, HEARS)), reason=f"needs {', '.join(HEARS)}")
def test_all_clues_of_a_run_come_from_servers_of_others(models, tmp_path, prefect):
    pytest.importorskip("openai")
    pytest.importorskip("xllamacpp")
    clips, out = tmp_path / "clips", tmp_path / "out"
    clips.mkdir()
    for clip in (ROOT / "examples/clips").glob("*.mp4"):  # without their subtitles, so that they are heard
        shutil.copy(clip, clips)
    write_llava(tmp_path / "tiny-llava")
    whisper = write_base(tmp_path / "whisper-base", models / "faster-whisper-base")
    complete_generation_config(whisper / "generation_config.json")
    with (
        transformers_server(tmp_path / "log") as pictures,
        llamacpp_server() as texts,
        FakeEndpoint(answering("The voice is calm.")) as tones,
    ):
        at = {
            "MINIGPT_V2": (pictures, str(tmp_path / "tiny-llava"), {"ANSWER_TOKENS": "12"}),
            "WHISPER": (pictures, str(whisper), {}),
            "LLAMA3": (texts, "smollm2", {"ANSWER_TOKENS": "60", "ATTEMPTS": "1"}),
            "QWEN_AUDIO": (tones.url, "tiny", {}),
        }
        variables = {**prefect, "MERRFLOW_ASR": "on"}
        for name, (url, model, more) in at.items():
            given = GIVEN | {"OPENAI_BASE_URL": url, "OPENAI_MODEL": model} | more
            variables |= {f"MERRFLOW_{name}_{word}": value for word, value in given.items()}
        words = [sys.executable, "-c", "from merrflow.cli import main; main()", "run", str(clips), "--out", str(out)]
        done = subprocess.run(words, env=os.environ | variables, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
    assert records
    segments = []
    for record in records:
        took = {clue: origin["usage"] for clue, origin in record["origins"].items() if clue in CLUES}
        unheard = {"transcript"} if record["subtitle"]["source"] == "picture" else set()  # where it could be read
        assert {clue: one["model"] for clue, one in took.items()} == {
            clue: model for clue, model in CLUES.items() if clue not in unheard
        }
        assert all(one["calls"] >= 1 for one in took.values())
        assert record["origins"]["score_all"]["method"] == "likelihood"
        heard = record["transcript"] or {"reason": "read", "segments": []}
        assert record["subtitle"]["source"] == "speech" or heard["reason"], "or says why not"
        segments += heard["segments"]
    assert segments
