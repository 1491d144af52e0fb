"""The six television clips of the research data, where they are at hand.

Expected values were read from spectrograms by eye, and F0 agrees with Praat's autocorrelation method.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from merrflow_qwen_audio import SPEC
from merrflow_qwen_audio.types import Content, ToneItem
from merrflow_serving.media.audio import decode_audio

CLIPS = Path(__file__).parents[4] / "shared" / "clips"
pytestmark = pytest.mark.skipif(not CLIPS.is_dir(), reason="the research clips are not beside the repository")


@pytest.fixture(scope="module")
def tones():
    engine = SPEC.make_engine(SPEC.settings())
    engine.load()
    paths = sorted(CLIPS.glob("*.mp4"))
    items = [ToneItem(decode_audio(path)) for path in paths]
    return {path.stem: tone for path, tone in zip(paths, engine.run(items), strict=True)}


def value(tone, name):
    return next((m.value for m in tone.measurements if m.name == name), None)


def test_somebody_speaks_in_each(tones):
    assert len(tones) == 6
    for tone in tones.values():
        assert tone.content is Content.SPEECH
        assert tone.text.startswith("The voice is ")


@pytest.mark.parametrize(
    ("clip", "low", "high"),
    [
        ("sample_00000338", 200, 240),
        ("sample_00000669", 95, 130),
        ("sample_00002422", 125, 155),
        ("sample_00003462", 85, 100),
        ("sample_00004671", 220, 270),
        ("samplenew_00051251", 130, 155),
    ],
)
def test_median_pitch(tones, clip, low, high):
    assert low < value(tones[clip], "pitch_median") < high


def test_who_shouts_is_loud_and_agitated(tones):
    """4671: "Won't you? Impossible! Fan Xiaomei is not such a person."""
    shouted = tones["sample_00004671"]
    assert "loud" in shouted.text and "agitated or excited" in shouted.text
    assert value(shouted, "loudness") == max(value(tone, "loudness") for tone in tones.values())


def test_music_behind_the_short_question(tones):
    """51251 has sustained tones before and after the voice, and is too short to judge."""
    text = tones["samplenew_00051251"].text
    assert text.endswith("while music plays in the background.")
    assert "sounds" not in text


def test_the_cry_before_the_sentence_counts(tones):
    """669 begins with a cry at up to 450 Hz; the speech is around 110 Hz."""
    tone = tones["sample_00000669"]
    assert tone.speech[0].start < 0.4
    assert value(tone, "pitch_high") > 200
    assert "a wide pitch range" in tone.text


@pytest.mark.parametrize(
    "milliseconds", [11, 24, *(pytest.param(one, marks=pytest.mark.slow) for one in (3, 7, 16, 20))]
)
def test_silence_in_front_changes_no_word(tones, milliseconds):
    """As the priming of a codec or a remux puts there."""
    engine = SPEC.make_engine(SPEC.settings())
    engine.load()
    silence = np.zeros(16 * milliseconds, np.float32)
    paths = sorted(CLIPS.glob("*.mp4"))
    later = engine.run([ToneItem(np.concatenate([silence, decode_audio(path)])) for path in paths])
    for path, tone in zip(paths, later, strict=True):
        before = tones[path.stem]
        assert tone.text == before.text
        moved = [round(span.start - milliseconds / 1000, 6) for span in tone.speech]
        assert moved == pytest.approx([span.start for span in before.speech], abs=1e-5)
