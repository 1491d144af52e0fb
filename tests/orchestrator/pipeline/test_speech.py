"""Speech recognition in a run: asked only if there is no subtitle, and never in the way."""

from __future__ import annotations

import json

import pytest

from merrflow.core.errors import InputError
from merrflow.core.settings_file import load_settings
from merrflow.pipeline import speech_recognition
from merrflow.pipeline.speech_recognition import recognises_speech
from merrflow_serving.errors import EngineFault, InvalidInput
from tests.orchestrator.fakes import FakeTranscriber, calls, fake_services, make_video, trouble
from tests.orchestrator.pipeline.test_pipeline import annotate


def records(out):
    return {row["name"]: row for row in map(json.loads, (out / "records.jsonl").read_text().splitlines())}


@pytest.fixture
def clips(tmp_path):
    make_video(tmp_path / "clips/told.mp4", "red")
    make_video(tmp_path / "clips/heard.mp4", "red", seed=1)
    make_video(tmp_path / "clips/mute.mp4", "red", sound=False)
    (tmp_path / "t.csv").write_text("name,sentence\ntold,What a day!\n")
    return tmp_path


async def test_only_a_clip_with_sound_and_without_a_subtitle_is_transcribed(clips):
    out = clips / "out"
    async with fake_services(whisper=FakeTranscriber) as addresses:
        await annotate([clips / "clips"], out, addresses, clips / "t.csv")
        assert calls["whisper"] == 1
        found = records(out)
        await annotate([clips / "clips"], out, addresses, clips / "t.csv")
        assert calls["whisper"] == 1
    assert found["told"]["subtitle"]["source"] == "table" and found["told"]["transcript"] is None
    said = found["heard"]["subtitle"]
    assert (said["source"], said["language"], said["confidence"]) == ("speech", "en", 0.75)
    assert said["text"] == "We talk for 0.6 seconds." == found["heard"]["transcript"]["text"]
    assert said["text"] in found["heard"]["coarse"]
    assert found["heard"]["origins"]["transcript"]["model"] == "fake-whisper"
    assert found["mute"]["subtitle"]["text"] is None and "transcript" not in found["mute"]["missing"]
    assert json.loads((out / "merr/MERR_fine_grained.json").read_text())["heard"]["text"] == said["text"]


async def test_switched_on_later_only_what_depends_on_the_words_is_done_again(clips):
    out = clips / "out"
    async with fake_services(whisper=FakeTranscriber) as addresses:
        await annotate([clips / "clips"], out, addresses, clips / "t.csv", asr="off")
        assert calls["whisper"] == 0 and records(out)["heard"]["subtitle"]["text"] is None
        before = calls.copy()
        await annotate([clips / "clips"], out, addresses, clips / "t.csv")
        assert records(out)["heard"]["subtitle"]["source"] == "speech"
        assert calls - before == {"whisper": 1, "llama3": 1, "scores": 1}


@pytest.mark.parametrize("error", [InvalidInput("this sound cannot be decoded"), EngineFault("lost")])
async def test_a_recogniser_that_fails_costs_the_words_at_most(clips, error):
    out = clips / "out"
    async with fake_services(whisper=FakeTranscriber) as addresses:
        trouble["whisper"] = error
        summary = await annotate([clips / "clips"], out, addresses, clips / "t.csv")
    if isinstance(error, InvalidInput):
        assert summary.outcomes == {"done": 3}
        assert "cannot be decoded" in records(out)["heard"]["missing"]["transcript"]
    else:  # it may pass: the clip is tried again by the next run
        assert summary.outcomes == {"done": 2, "failed": 1} and not summary.complete


def test_who_is_asked(monkeypatch):
    remote = {f"{name}_address": "host:1" for name in ("openface_au", "minigpt_v2", "qwen_audio", "llama3")}

    def wanted(problem: str, **settings) -> bool:
        monkeypatch.setattr(speech_recognition, "_embedded_problem", lambda: problem)
        return recognises_speech(load_settings(**settings))

    assert wanted("") and not wanted("", asr="off") and not wanted("no weights")
    assert not wanted("", **remote)  # nobody said where it is
    assert wanted("no weights", **remote, whisper_address="host:2")
    with pytest.raises(InputError, match="no weights"):
        wanted("no weights", asr="on")
    with pytest.raises(InputError, match="MERRFLOW_WHISPER_ADDRESS is not set"):
        wanted("", asr="on", **remote)
    assert not recognises_speech(load_settings(), in_containers=True)
    assert recognises_speech(load_settings(asr="on"), in_containers=True)


def test_a_service_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(speech_recognition, "find_spec", lambda name: None)
    assert not recognises_speech(load_settings())
    with pytest.raises(InputError, match=r"install the wheel of merrflow-whisper \(docs/installing.md\)$"):
        recognises_speech(load_settings(asr="on"))


@pytest.mark.parametrize(
    ("name", "value"), [("LANGUAGE", "English"), ("RULES", "/nowhere.yaml"), ("ENGINE", "nope"), ("MODEL", "base")]
)
def test_wrong_settings_of_the_service_are_not_passed_over(monkeypatch, name, value):
    monkeypatch.setenv(f"MERRFLOW_WHISPER_{name}", value)
    with pytest.raises(InputError, match="MERRFLOW_ASR=off"):
        recognises_speech(load_settings())
    assert not recognises_speech(load_settings(asr="off"))


def test_weights_that_are_half_there_are_said(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("MERRFLOW_WHISPER_MODELS_DIR", str(tmp_path))
    assert not recognises_speech(load_settings()) and not caplog.records
    (tmp_path / "faster-whisper-base").mkdir()
    (tmp_path / "faster-whisper-base" / "config.json").write_text("{}")
    assert not recognises_speech(load_settings())
    assert "merrflow models pull faster-whisper-base" in caplog.text
