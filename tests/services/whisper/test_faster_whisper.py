"""The engine with real weights: what it hears, and what it does not invent."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from merrflow_serving.errors import Abandoned, InvalidInput, NotReady
from merrflow_serving.media.audio import decode_audio
from merrflow_whisper import SPEC, SpeechItem, Transcript, WhisperSettings

EXAMPLES = Path(__file__).parents[3] / "examples/clips"
CLIPS = Path(__file__).parents[4] / "shared/clips"


def heard(engine, path: Path, language: str = "") -> Transcript:
    (found,) = engine.run([SpeechItem(decode_audio(path), language)])
    assert isinstance(found, Transcript)
    return found


def test_english_speech(engine):
    found = heard(engine, EXAMPLES / "surprise_visit.mp4")
    assert found.text == "Oh, what are you doing here?"
    assert found.language == "en" and found.language_probability > 0.8 and not found.reason
    (segment,) = found.segments
    assert 0.2 < segment.start < 1.0 and segment.end <= 3.414 and 0.45 < segment.confidence <= 1


def test_an_uncertain_language_is_not_believed_unless_it_is_given(engine):
    guessed = heard(engine, EXAMPLES / "quiet_goodbye.mp4")
    assert guessed.text == "" and guessed.reason.startswith("the language is not certain")
    assert guessed.segments[0].text  # what was heard is kept, marked as rejected
    given = heard(engine, EXAMPLES / "quiet_goodbye.mp4", "en").text
    assert given in ("I miss you so much", "I miss you so much.")  # by the processor's arithmetic


@pytest.mark.parametrize("level", [0.0, 0.01, 0.3])
def test_nothing_is_invented_where_nobody_speaks(engine, level):
    noise = np.random.default_rng(1).normal(0, level, 5 * 16_000).astype(np.float32)
    (found,) = engine.run([SpeechItem(noise)])
    assert (found.text, found.segments, found.reason) == ("", (), "nobody speaks")


def test_the_same_sound_gives_the_same_text_whatever_is_beside_it(engine):
    sound = decode_audio(EXAMPLES / "good_news.mp4")
    alone = engine.run([SpeechItem(sound)])
    beside = engine.run([SpeechItem(np.zeros(100, np.float32)), SpeechItem(sound), SpeechItem(sound[:1])])
    assert beside[1] == alone[0] and beside[0].text == beside[2].text == ""


def test_a_faint_voice_is_heard(engine):
    sound = decode_audio(EXAMPLES / "surprise_visit.mp4")
    (found,) = engine.run([SpeechItem((sound * 0.02).astype(np.float32))])
    assert "what are you doing here" in found.text


def test_an_unknown_language_is_the_callers_fault(engine):
    (found,) = engine.run([SpeechItem(decode_audio(EXAMPLES / "surprise_visit.mp4"), "xx")])
    assert isinstance(found, InvalidInput) and "'xx'" in str(found)


@pytest.mark.skipif(not CLIPS.exists(), reason="the research clips are not here")
def test_chinese_speech_is_written_in_simplified_characters(engine):
    found = heard(engine, CLIPS / "sample_00004671.mp4")
    assert found.language == "zh" and "不可能" in found.text and "这种人" in found.text


def test_a_caller_that_leaves_ends_the_work_between_two_segments(engine):
    asked: list[int] = []

    def wanted(place: int) -> bool:
        asked.append(place)
        return place == 1

    sound = decode_audio(EXAMPLES / "good_news.mp4")
    left, kept = engine.run([SpeechItem(sound, "en")] * 2, wanted)  # to find the language takes half of the time
    assert isinstance(left, Abandoned) and asked.count(0) == 1
    assert len(kept.segments) == asked.count(1) == 2


@pytest.mark.parametrize("chosen", ["", "faster_whisper"])
def test_it_needs_no_torch(models, monkeypatch, chosen):
    for package in ("torch", "transformers"):  # which its image does not have
        monkeypatch.setitem(sys.modules, package, None)
    engine = SPEC.make_engine(WhisperSettings(models_dir=models, offline=True, threads=1, device="cpu", engine=chosen))
    engine.load()
    engine.close()


def test_an_unknown_language_in_the_settings_is_said_at_once(models):
    engine = SPEC.make_engine(WhisperSettings(models_dir=models, offline=True, threads=1, language="xx"))
    with pytest.raises(NotReady, match="MERRFLOW_WHISPER_LANGUAGE: the model knows no language 'xx'; it knows af, am"):
        engine.load()


def test_missing_weights_are_named_with_what_to_do(tmp_path):
    engine = SPEC.make_engine(WhisperSettings(models_dir=tmp_path, offline=True))
    assert engine.info().revision == "" and engine.info().model == "faster-whisper-base"
    with pytest.raises(NotReady, match="merrflow models pull faster-whisper-base"):
        engine.load()


def test_other_bytes_under_the_models_name_are_refused(models, tmp_path):
    folder = tmp_path / "faster-whisper-base"
    folder.mkdir()
    for file in (models / "faster-whisper-base").iterdir():
        (folder / file.name).write_bytes(file.read_bytes() if file.name != "model.bin" else b"\0" * 1000)
    engine = SPEC.make_engine(WhisperSettings(models_dir=tmp_path, offline=True))
    with pytest.raises(NotReady, match=r"model\.bin"):
        engine.load()
