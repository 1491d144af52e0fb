"""The whole engine on constructed sound: contents, robustness, independence of the batch."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from merrflow_qwen_audio import SPEC
from merrflow_qwen_audio.engines.acoustics import meter, vad
from merrflow_qwen_audio.types import Content, Tone, ToneItem
from merrflow_serving.errors import EngineFault, InvalidInput, NotReady, TooLarge
from tests.services.qwen_audio import signals
from tests.services.qwen_audio.synthetic_speech import spoken_vowels

RATE = signals.RATE


@pytest.fixture(scope="module")
def engine():
    engine = SPEC.make_engine(SPEC.settings())
    engine.load()
    yield engine
    engine.close()


def run(engine, sounds):
    return engine.run([ToneItem(sound) for sound in sounds])


def describe(engine, sound) -> Tone:
    (result,) = engine.run([ToneItem(np.asarray(sound, np.float32))])
    assert isinstance(result, Tone), result
    return result


def value(tone: Tone, name: str) -> float:
    return next(m.value for m in tone.measurements if m.name == name)


def test_warm_up_goes_through_everything(engine):
    tone = describe(engine, SPEC.warmup().samples)
    assert tone.content is Content.SPEECH
    names = {m.name for m in tone.measurements}
    assert {"pitch_median", "articulation_rate", "jitter_local", "alpha_ratio", "harmonics_to_noise"} <= names


@pytest.mark.parametrize("f0", [110.0, 140.0, 180.0])
def test_pitch_and_pace_of_synthetic_speech(engine, f0):
    tone = describe(engine, spoken_vowels(3.0, f0=f0))
    assert tone.content is Content.SPEECH
    t = np.arange(3 * RATE) / RATE
    truth = f0 * 2 ** ((4 * np.sin(2 * np.pi * 0.7 * t) - 2 * t) / 12)
    assert value(tone, "pitch_median") == pytest.approx(np.median(truth), rel=0.05)
    spread = 12 * np.log2(np.divide(*np.percentile(truth, [90, 10])))
    assert value(tone, "pitch_range") == pytest.approx(spread, rel=0.3), "faint syllables are left out of it"
    assert value(tone, "articulation_rate") == pytest.approx(5.0, rel=0.2), "a faint syllable may be missed"


def test_loudness_follows_the_level(engine):
    loud = describe(engine, spoken_vowels(3.0))
    quiet = describe(engine, spoken_vowels(3.0) * 0.1)
    assert value(loud, "loudness") - value(quiet, "loudness") == pytest.approx(20.0, abs=1.0)
    assert value(loud, "pitch_median") == pytest.approx(value(quiet, "pitch_median"), rel=0.02)


def test_pauses_and_spans(engine):
    word, gap = spoken_vowels(1.6), np.zeros(round(1.5 * RATE), np.float32)
    tone = describe(engine, np.concatenate([gap, word, gap, word, gap]))
    assert value(tone, "pause_longest") == pytest.approx(1.5, abs=0.35)
    assert tone.speech[0].start == pytest.approx(1.5, abs=0.3)
    assert tone.speech[-1].end == pytest.approx(6.2, abs=0.3)
    for span, later in zip(tone.speech, tone.speech[1:], strict=False):
        assert span.start < span.end <= later.start
    assert "long pause" in tone.text


def test_signal_to_noise(engine):
    gap = np.zeros(RATE, np.float32)
    voice = np.concatenate([gap, spoken_vowels(3.0), gap])
    level = value(describe(engine, voice), "loudness")
    noisy = describe(engine, voice + signals.noise(5.0, 10 ** ((level - 20) / 20)))
    assert value(noisy, "signal_to_noise") == pytest.approx(20.0, abs=2.0)


@pytest.mark.parametrize(
    ("sound", "content"),
    [
        (np.zeros(0), Content.SILENCE),
        (np.zeros(1), Content.SILENCE),
        (np.zeros(2 * RATE), Content.SILENCE),
        (np.full(RATE, 0.5), Content.SILENCE),  # a constant is no sound
        (signals.noise(2.0, 0.0003), Content.SILENCE),
        (np.full(RATE // 2, np.nan), Content.SILENCE),
        (signals.tone(440.0, 0.01), Content.NO_SPEECH),
        (signals.tone(200.0, 3.0, harmonics=1), Content.NO_SPEECH),
        (signals.noise(3.0), Content.NO_SPEECH),
        (signals.noise(1.0, 0.5), Content.NO_SPEECH),
        (signals.hum(), Content.NO_SPEECH),
        (signals.ticking(), Content.NO_SPEECH),
        (signals.chords(), Content.MUSIC),
        (signals.drums(), Content.MUSIC),
        (spoken_vowels(), Content.SPEECH),
        (np.clip(spoken_vowels() * 20, -1, 1), Content.SPEECH),
        (spoken_vowels() * 0.5 + 0.4, Content.SPEECH),
        (signals.mixed(spoken_vowels(4.0), signals.chords(4.0), 15), Content.SPEECH),
    ],
)
def test_content(engine, sound, content):
    tone = describe(engine, sound)
    assert tone.content is content
    assert tone.text.endswith(".") and tone.text.count(".") == 1
    assert all(math.isfinite(m.value) and m.unit for m in tone.measurements)
    assert bool(tone.speech) is (content is Content.SPEECH)


def test_a_constant_offset_changes_nothing_said(engine):
    assert describe(engine, spoken_vowels() * 0.5 + 0.4).text == describe(engine, spoken_vowels() * 0.5).text


@pytest.mark.parametrize(
    "samples", [100, 384, *(pytest.param(one, marks=pytest.mark.slow) for one in (1, 48, 255, 333))]
)
def test_silence_in_front_changes_no_measurement(engine, samples):
    """Frames are counted from the first sound, not from the first sample; up to 24 ms."""
    sound = spoken_vowels(2.0, f0=180.0)
    sound = np.concatenate([sound, np.zeros(8000, np.float32), sound])  # with a pause
    before = describe(engine, sound)
    after = describe(engine, np.concatenate([np.zeros(samples, np.float32), sound]))
    assert after.text == before.text
    for name in ("pitch_median", "pitch_range", "articulation_rate", "pause_longest", "loudness", "pitch_ending"):
        assert value(after, name) == pytest.approx(value(before, name), rel=0.01), name
    assert after.speech[0].start == pytest.approx(before.speech[0].start + samples / 16_000, abs=1e-4)


def test_clipping_is_measured(engine):
    assert value(describe(engine, np.clip(spoken_vowels() * 20, -1, 1)), "clipped_share") > 0.05
    assert value(describe(engine, spoken_vowels()), "clipped_share") == 0.0


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 511, 512, 513, 1000, 4000, 15999])
def test_any_length(engine, samples):
    for sound in (spoken_vowels()[:samples], signals.noise(1.0)[:samples]):
        describe(engine, sound)


def test_the_batch_does_not_matter(engine):
    items = [spoken_vowels(), signals.chords(), np.zeros(RATE, np.float32), spoken_vowels(3.0, f0=180.0)]
    together = run(engine, items)
    assert together == [describe(engine, item) for item in items]
    assert run(engine, items[::-1]) == together[::-1]


def test_an_item_that_cannot_be_measured_hurts_no_neighbour(engine):
    long = np.zeros(601 * RATE, np.float32)
    items = [long, spoken_vowels(), np.zeros((2, RATE), np.float32), spoken_vowels()]
    first, second, third, fourth = run(engine, items)
    assert isinstance(first, TooLarge) and isinstance(third, InvalidInput)
    assert second == fourth and second.content is Content.SPEECH


def test_a_bug_is_an_error_of_its_item(engine, monkeypatch):
    real = meter.analyse

    def breaks(samples, spans):
        if samples.size == 7:
            raise ZeroDivisionError("seven")
        return real(samples, spans)

    monkeypatch.setattr(meter, "analyse", breaks)
    bad, good = run(engine, [np.zeros(7, np.float32), np.zeros(8, np.float32)])
    assert isinstance(bad, EngineFault) and "seven" in str(bad)
    assert isinstance(good, Tone)


def test_faster_than_real_time(engine):
    """20 times, on a core that is not shared; a tenth of that, so that a busy machine does not fail the test."""
    sound = np.resize(spoken_vowels(4.0), 30 * RATE)
    started = time.process_time()
    describe(engine, sound)
    assert time.process_time() - started < 15.0


def test_info_needs_no_model():
    info = SPEC.make_engine(SPEC.settings(max_seconds=12)).info()
    assert info.engine == "prosody" and info.revision.startswith("sha256:")
    assert info.prompt_version.startswith("tone_words ")
    assert info.limits.max_seconds == 12
    assert "not Qwen-Audio" in info.note


def test_a_changed_model_is_not_ready(monkeypatch):
    monkeypatch.setattr(vad, "MODEL_FILE", replace(vad.MODEL_FILE, sha256="0" * 64))
    with pytest.raises(NotReady, match="pip install --no-deps silero-vad"):
        SPEC.make_engine(SPEC.settings()).load()


def test_an_engine_that_is_not_loaded_says_so():
    (result,) = run(SPEC.make_engine(SPEC.settings()), [np.zeros(10, np.float32)])
    assert isinstance(result, EngineFault)


def test_speech_spans_by_the_rules_of_silero():
    def spans(*pieces):  # (probability, chunks of 32 ms)
        return vad.speech_spans(np.concatenate([np.full(n, p) for p, n in pieces]), 32.0)

    assert spans((0.1, 100)) == ()
    assert spans((0.1, 10), (0.9, 5), (0.1, 10)) == (), "160 ms alone may be a note"
    assert len(spans((0.9, 20), (0.1, 10), (0.9, 5), (0.1, 10))) == 2, "beside speech it is a cry"
    assert len(spans((0.9, 20), (0.1, 3), (0.9, 20), (0.1, 9))) == 1, "96 ms do not break speech"
    assert len(spans((0.9, 20), (0.4, 50), (0.9, 20), (0.1, 9))) == 1, "0.4 holds what 0.5 began"
    (one,) = spans((0.1, 10), (0.9, 20), (0.1, 10))
    assert one.start == pytest.approx(0.29) and one.end == pytest.approx(0.99)


def test_any_engine_can_put_the_same_measurements_beside_its_own_sentence(engine):
    measuring = meter.Meter(60.0)
    measuring.load()
    sound = spoken_vowels(3.0)
    tone = measuring.measure(sound).tone("She almost shouts.")
    assert tone == replace(describe(engine, sound), text="She almost shouts.")
    measuring.close()
    with pytest.raises(EngineFault, match="before it is loaded"):
        measuring.measure(sound)
