"""The rule file and the sentences that come of it."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from merrflow_qwen_audio.engines.acoustics import analysis
from merrflow_qwen_audio.tone_sentence import Rules, arousal_points, rules, sentence
from merrflow_qwen_audio.types import Content, Span
from tests.services.qwen_audio.synthetic_speech import spoken_vowels

NEUTRAL = {
    "seconds": 4.0,
    "level": -25.0,
    "utterance_seconds": 3.5,
    "loudness": -23.0,
    "pitch_median": 150.0,
    "pitch_range": 7.0,
    "articulation_rate": 4.2,
    "voiced_share": 0.65,
    "pause_count": 0.0,
    "pause_longest": 0.0,
    "signal_to_noise": 30.0,
    "music": 0.0,
}


def say(**changes) -> str:
    values = {name: value for name, value in (NEUTRAL | changes).items() if value is not None}
    return sentence(Content.SPEECH, values)


def test_neutral():
    assert say() == (
        "The voice is medium-pitched and moderately loud, with a normal pitch range, a moderate pace and no pauses; "
        "it sounds neutral."
    )


def test_high_arousal_by_scherer():
    text = say(pitch_median=280.0, pitch_range=11.0, loudness=-12.0, articulation_rate=6.0, pitch_ending=4.0)
    assert text == (
        "The voice is high-pitched and loud, with a wide pitch range, a fast pace and no pauses; "
        "the pitch rises at the end, and it sounds agitated or excited."
    )


def test_low_arousal():
    text = say(pitch_range=3.5, loudness=-35.0, articulation_rate=2.5, pause_count=2, pause_longest=1.4)
    assert "quiet, with a narrow pitch range, a slow pace and long pauses" in text
    assert text.endswith("it sounds subdued.")


@pytest.mark.parametrize(
    ("changes", "ending"),
    [
        ({"pitch_range": 10.0}, "rather lively."),
        ({"articulation_rate": 6.0}, "rather hurried."),
        ({"pitch_range": 4.0}, "rather flat."),
        ({"pitch_range": 2.0}, "sounds flat."),
        ({"loudness": -33.0}, "neutral."),
        ({"loudness": -33.0, "pitch_range": 4.0}, "calm."),
        ({"loudness": -12.0, "pitch_range": 10.0}, "animated."),
        ({"loudness": -12.0, "pitch_range": 4.0, "articulation_rate": 6.0}, "tense."),
    ],
)
def test_one_cue_is_named_and_two_are_judged(changes, ending):
    assert say(**changes).endswith(ending)


def test_more_of_a_cue_never_means_less_arousal():
    points = [arousal_points(NEUTRAL | {"loudness": level}) for level in range(-60, 0, 2)]
    assert points == sorted(points)


def test_what_was_not_measured_is_not_spoken_of():
    assert say(articulation_rate=None, pitch_range=None) == (
        "The voice is medium-pitched and moderately loud, with no pauses; it sounds neutral."
    )
    assert "enough voice to tell the pitch" in say(pitch_median=None, pitch_range=None)
    assert say(pitch_median=None, pitch_range=None, utterance_seconds=0.3) == rules().sentences["too_little"]


def test_short_speech_is_not_judged():
    text = say(utterance_seconds=0.8, loudness=-10.0, pitch_range=12.0, pitch_median=300.0)
    assert "sounds" not in text
    assert "pace" not in text


def test_pace_needs_voice():
    assert "pace" not in say(voiced_share=0.3)


def test_music_and_noise_silence_what_they_spoil():
    over_music = say(music=1.0, signal_to_noise=6.0, pitch_range=15.0, pitch_ending=8.0)
    assert "range" not in over_music and "rises" not in over_music and "lively" not in over_music
    assert over_music.endswith("while music plays in the background.")
    assert "range" not in say(music=1.0, signal_to_noise=None)
    assert "a wide pitch range" in say(music=1.0, signal_to_noise=25.0, pitch_range=15.0)
    assert say(signal_to_noise=3.0).endswith("against a noisy background.")


def test_voice_quality_needs_a_clean_recording():
    assert "rough or breathy" in say(harmonics_to_noise=3.0, signal_to_noise=40.0)
    assert "rough or breathy" not in say(harmonics_to_noise=3.0, signal_to_noise=15.0)
    assert "rough or breathy" not in say(harmonics_to_noise=3.0, signal_to_noise=None)
    assert "trembling" in say(pitch_tremor=0.8)
    assert "whisper" in say(voiced_share=0.1)


@pytest.mark.parametrize(
    ("level", "effort", "word"),
    [
        (-13.5, {"alpha_ratio": -15.0}, "moderately loud"),  # loud by its gain alone
        (-13.0, {"alpha_ratio": -8.0}, "loud"),
        (-13.0, {"alpha_ratio": -15.0, "pitch_median": 240.0}, "loud"),
        (-33.0, {"alpha_ratio": -22.0}, "quiet"),
        (-32.0, {"alpha_ratio": -8.0}, "moderately loud"),
        (-23.0, {"alpha_ratio": -8.0}, "moderately loud"),
        (-23.0, {"alpha_ratio": -22.0}, "moderately loud"),
        (-42.0, {"alpha_ratio": -22.0}, "very quiet"),
        (-5.0, {"alpha_ratio": -22.0}, "loud"),
        (-50.0, {"alpha_ratio": -8.0}, "very quiet"),
    ],
)
@pytest.mark.parametrize("gain", [-3.0, -1.5, 0.0, 1.5, 3.0])
def test_near_a_step_of_loudness_the_effort_decides_and_not_the_gain(level, effort, word, gain):
    text = say(loudness=level + gain, **effort)
    assert f" and {word}, with" in text
    assert text == say(loudness=level, **effort)


@pytest.mark.parametrize(
    ("content", "changes", "text"),
    [
        (Content.SILENCE, {}, "There is no sound."),
        (Content.MUSIC, {}, "There is no speech; music plays."),
        (Content.MUSIC, {"level": -50.0}, "There is no speech; music plays quietly."),
        (Content.NO_SPEECH, {"level": -10.0}, "There is no speech; loud sounds are heard."),
        (Content.NO_SPEECH, {"seconds": 0.1}, "There is no speech, only a very short sound."),
    ],
)
def test_without_speech(content, changes, text):
    assert sentence(content, NEUTRAL | changes) == text


def test_every_rule_names_a_measurement_that_exists_and_its_numbers_ascend():
    sound = spoken_vowels(4.0)
    known = {m.name for m in analysis.measurements(analysis.analyse(sound, [Span(0.5, 1.5), Span(2.0, 3.9)]))}
    known |= {"pitch_tremor", "pitch_ending", "signal_to_noise"}  # not measurable in that sound
    r = rules()
    text = str([getattr(r, f.name) for f in fields(Rules)])
    named = set(re.findall(r"'(?:and_)?(?:measure|missing)': '(\w+)'", text))
    assert named
    assert named <= known
    assert set(r.doubtful["unspoken"]) <= known
    for scale in r.scales.values():
        limits = [step["below"] for step in scale["steps"][:-1]]
        assert limits == sorted(limits) and "below" not in scale["steps"][-1]
    points = [rule["at_least"] for rule in r.arousal["impressions"] if "requires" not in rule and "at_least" in rule]
    assert points == sorted(points, reverse=True)


def test_required_words_are_words_of_a_scale():
    r = rules()
    said = {step["words"] for scale in r.scales.values() for step in scale["steps"]}
    for rule in r.arousal["impressions"]:
        assert said.issuperset(rule.get("requires", ()))


def test_no_emotion_and_no_sex_is_claimed():
    text = str([getattr(rules(), f.name) for f in fields(Rules)]).lower()
    claims = "angry sad happy afraid fearful disgusted surprised man woman male female his her he she"
    assert not set(claims.split()) & set(re.findall(r"[a-z]+", text))
