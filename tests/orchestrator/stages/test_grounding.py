"""What tone sentences claim, held against measurements."""

from __future__ import annotations

import inspect
import json
import re
from collections import Counter
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from merrflow.core.datafile import DataFileError
from merrflow.core.texts import Tone
from merrflow.stages.grounding import CONTRADICTED, ground, load_grounding
from merrflow.stages.grounding_rules import read_rules
from merrflow.stages.tone_claims import _finder, mentions
from merrflow_qwen_audio.engines.acoustics import analysis
from merrflow_qwen_audio.tone_sentence import rules as engine_rules
from merrflow_qwen_audio.tone_sentence import sentence
from merrflow_qwen_audio.types import Content
from tests.paths import SHARED

PUBLISHED = SHARED / "merr" / "merr_fine_grained.half.json"
MEASURED = {
    "seconds": 4.0,
    "level": -27.0,
    "loudness": -24.0,
    "pitch_median": 170.0,
    "pitch_range": 7.0,
    "articulation_rate": 4.2,
    "alpha_ratio": -14.0,
    "voiced_share": 0.6,
    "utterance_seconds": 3.5,
    "pause_count": 0.0,
    "pause_longest": 0.0,
    "signal_to_noise": 30.0,
    "harmonics_to_noise": 11.0,
    "jitter_local": 0.02,
    "shimmer_local": 0.09,
    "music": 0.0,
}


def tone(text: str, content: str = "speech", **changes: float | None) -> Tone:
    values = {name: value for name, value in (MEASURED | changes).items() if value is not None}
    return Tone(text, content, {name: (value, "") for name, value in values.items()}, ())


def verdicts(text: str, content: str = "speech", **changes: float | None) -> dict[str, str]:
    return {claim.quality: claim.verdict for claim in ground(tone(text, content, **changes))}


def claimed(text: str) -> list[str]:
    return [("not " if found.denied else "") + found.quality for found in mentions(text, load_grounding())]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("His voice trembles and he is almost shouting", ["trembling", "shouting"]),
        ("a calm, low voice", ["calm", "low voice"]),
        ("not loud", ["not loud"]),
        ("The voice isn’t loud.", ["not loud"]),
        ("neither fast nor slow", ["not fast", "not slow"]),
        ("not only loud but also fast", ["loud", "fast"]),
        ("not loud, but fast", ["not loud", "fast"]),
        ("not loud but fast", ["not loud", "fast"]),
        ("anything but loud", ["not loud"]),
        ("He isn't shouting while she speaks quickly", ["not shouting", "speech", "fast"]),
        ("There is no trace of a tremor in her voice.", ["not trembling"]),
        ("speaks without raising her voice", ["speech", "not loud"]),
        ("barely above a whisper", ["quiet"]),
        ("does not speak in a loud voice", ["not loud"]),
        ("does not speak with any of the emotions listed.", ["none of the emotions asked for"]),
        ("and her tone sounds negative.", ["negative feeling"]),
        ("cries", ["crying"]),
        ("CRYING, she whispers", ["crying", "whispering"]),
        ("low-pitched, then high-pitched", ["low pitch", "high pitch"]),
        ("a normal pitch range at a normal pace", ["normal pitch range", "moderate pace"]),
        ("There is no speech; loud music plays.", ["no speech", "loud sound"]),
        ("speaks with a fast pace voice.", ["speech", "fast"]),
        # what is said is not how it is said
        ('speaks calmly: "Stop shouting, be quiet!"', ["speech", "calm"]),
        ("speaks calmly: “Stop shouting!”", ["speech", "calm"]),
        ("在大声喊叫", []),
        ("speaks aloud to a cloud-like flatmate", ["speech"]),  # words within words
        ("It gets louder and slower", []),  # a change is no level
        ("", []),
    ],
)
def test_what_is_claimed(text, expected) -> None:
    assert claimed(text) == expected


@pytest.mark.parametrize(
    ("text", "changes", "quality", "verdict"),
    [
        ("a loud voice", {"loudness": -12.0}, "loud", "supported"),
        ("a loud voice", {"loudness": -24.0}, "loud", "undecided"),
        ("a loud voice", {"loudness": -33.0, "alpha_ratio": -18.0}, "loud", "contradicted"),
        # recorded low, but with the high frequencies of effort
        ("a loud voice", {"loudness": -33.0, "alpha_ratio": -10.0}, "loud", "undecided"),
        ("a loud voice", {"loudness": None}, "loud", "unmeasured"),
        ("not loud", {"loudness": -24.0}, "not loud", "supported"),
        ("not loud", {"loudness": -17.0}, "not loud", "undecided"),
        ("not loud", {"loudness": -10.0}, "not loud", "contradicted"),
        ("perhaps whispering", {"voiced_share": 0.7}, "whispering", "undecided"),
        ("whispering", {"voiced_share": 0.7}, "whispering", "contradicted"),
        ("high-pitched", {"pitch_median": 118.0}, "high pitch", "contradicted"),
        ("high-pitched", {"pitch_median": 165.0}, "high pitch", "undecided"),  # high for a man
        ("a low voice", {"pitch_median": 200.0, "loudness": -35.0}, "low voice", "supported"),  # means quiet
        ("a low voice", {"pitch_median": 240.0, "loudness": -15.0}, "low voice", "contradicted"),
        ("fast", {"articulation_rate": 3.0}, "fast", "contradicted"),
        ("fast", {"articulation_rate": 3.0, "voiced_share": 0.3}, "fast", "unmeasured"),
        ("fast", {"articulation_rate": 3.0, "utterance_seconds": 0.7}, "fast", "unmeasured"),
        ("monotone", {"pitch_range": 12.0}, "monotone", "contradicted"),
        ("monotone", {"pitch_range": 12.0, "signal_to_noise": 5.0}, "monotone", "unmeasured"),
        ("monotone", {"pitch_range": 12.0, "signal_to_noise": None, "music": 1.0}, "monotone", "unmeasured"),
        ("calm", {"pitch_median": 280.0, "pitch_range": 12.0, "loudness": -12.0}, "calm", "contradicted"),
        ("excited", {"pitch_range": 3.0, "loudness": -40.0}, "excited", "contradicted"),
        ("excited", {"utterance_seconds": 0.6}, "excited", "unmeasured"),
        ("neutral", {"pitch_range": None, "loudness": None, "alpha_ratio": None}, "neutral tone", "unmeasured"),
        ("a trembling voice", {"pitch_tremor": 0.6}, "trembling", "supported"),
        ("a trembling voice", {"pitch_tremor": 0.0}, "trembling", "undecided"),
        ("crying", {}, "crying", "unmeasured"),
        ("not crying", {}, "not crying", "unmeasured"),
    ],
)
def test_verdicts(text, changes, quality, verdict) -> None:
    assert verdicts(text, **changes) == {quality: verdict}


@pytest.mark.parametrize(
    ("text", "content", "expected"),
    [
        ("speaks in a hurry", "silence", "contradicted"),
        ("speaks in a hurry", "no_track", "unmeasured"),
        ("speaks in a hurry", "unspecified", "unmeasured"),
        ("nobody speaks", "speech", "contradicted"),
        ("nobody speaks", "music", "supported"),
        ("music plays", "music", "supported"),
        ("music plays", "speech", "undecided"),
        ("music plays", "silence", "contradicted"),
        ("no music plays", "music", "contradicted"),
    ],
)
def test_what_is_heard_at_all(text, content, expected) -> None:
    assert list(verdicts(text, content).values()) == [expected]


def test_a_claim_carries_its_words_and_its_reason() -> None:
    (claim,) = ground(Tone("Her  voice is High-Pitched.", "speech", {"pitch_median": (118.0, "Hz")}, ()))
    assert (claim.words, claim.quality, claim.verdict) == ("High-Pitched", "high pitch", "contradicted")
    assert claim.reason == "pitch_median 118 Hz; high pitch is pitch_median at least 210 Hz"


def test_the_same_quality_is_reported_once_and_its_denial_apart() -> None:
    claims = ground(tone("loud, very loud, not loud"))
    assert [(claim.words, claim.quality) for claim in claims] == [("loud", "loud"), ("loud", "not loud")]


def test_nothing_to_ground() -> None:
    assert ground(None) == ground(tone(" ")) == ground(tone("...")) == ()


def _numbers(low: float, high: float) -> st.SearchStrategy[float | None]:
    return st.none() | st.floats(low, high)


VALUES = st.fixed_dictionaries(
    {
        "utterance_seconds": st.floats(0.1, 20),
        "loudness": st.floats(-60, 0),
        "level": st.floats(-60, 0),
        "seconds": st.floats(0.05, 20),
        "pitch_median": _numbers(60, 500),
        "pitch_range": _numbers(0, 24),
        "articulation_rate": _numbers(0.5, 12),
        "voiced_share": st.floats(0, 1),
        "pause_count": st.integers(0, 5).map(float),
        "pause_longest": st.floats(0, 4),
        "pitch_ending": _numbers(-20, 20),
        "pitch_tremor": _numbers(0, 2),
        "harmonics_to_noise": _numbers(-5, 30),
        "jitter_local": _numbers(0, 0.1),
        "shimmer_local": _numbers(0, 0.3),
        "signal_to_noise": _numbers(0, 60),
        "alpha_ratio": _numbers(-35, 5),
        "music": _numbers(0, 1).map(lambda value: value and float(value > 0.5)),
    }
)


@settings(max_examples=600)
@given(VALUES, st.sampled_from([Content.SPEECH, Content.MUSIC, Content.SILENCE, Content.NO_SPEECH]))
def test_the_prosody_engine_never_contradicts_its_own_measurements(values, content) -> None:
    values = {name: value for name, value in values.items() if value is not None}
    if values["pause_count"] == 0:
        values["pause_longest"] = 0.0
    text = sentence(content, values)
    found = ground(Tone(text, content, {name: (value, "") for name, value in values.items()}, ()))
    assert found or "too briefly" in text or "very short sound" in text
    assert not [claim for claim in found if claim.verdict == CONTRADICTED], (text, found)


def test_every_word_of_the_prosody_engine_is_a_claim_that_is_known() -> None:
    words = [step["words"] for scale in engine_rules().scales.values() for step in scale["steps"]]
    words += [rule["words"] for rule in (*engine_rules().pauses, *engine_rules().ending, *engine_rules().quality)]
    words += [rule["words"] for rule in (*engine_rules().arousal["impressions"], *engine_rules().background)]
    assert [phrase for phrase in words if not claimed(phrase)] == []


def test_arousal_and_doubt_are_judged_as_in_the_prosody_engine() -> None:
    """One definition in two files that cannot import each other. Only loudness the engine judges by its words, which
    depend on spectrum and pitch too; here the plain steps of the same scale count."""
    ours, theirs = load_grounding(), engine_rules()
    cues = {(cue.points, name, *limits) for cue in ours.arousal.cues for name, limits in cue.when.items()}
    steps = {step["words"]: step.get("below") for step in theirs.scales["loudness"]["steps"]}
    expected = {(1, "loudness", steps["moderately loud"], None), (-1, "loudness", None, steps["quiet"])}
    assert {cue["points"]: cue["words"] for cue in theirs.arousal["cues"] if "scale" in cue} == {
        1: ["loud"],
        -1: ["quiet", "very quiet"],
    }
    for cue in theirs.arousal["cues"]:
        if "scale" not in cue:
            expected.add((cue["points"], cue["measure"], cue.get("at_least"), cue.get("at_most")))
    assert cues == expected
    assert set(ours.doubtful.measures) == set(theirs.doubtful["unspoken"])
    assert len(ours.doubtful.where) == len(theirs.doubtful["rules"])


def test_every_measure_is_one_that_the_service_gives() -> None:
    given = set(re.findall(r'yield "(\w+)"', inspect.getsource(analysis))) | {"arousal"}
    rules = load_grounding()
    named = {name for ranges in rules.trust.values() for name in ranges} | set(rules.trust) | set(rules.arousal.needs)
    named |= {name for cue in rules.arousal.cues for name in cue.when} | set(rules.doubtful.measures)
    named |= {name for case in rules.doubtful.where for name in case.when}
    for quality in rules.qualities:
        named |= {name for ranges in (*quality.supported, *quality.contradicted, *quality.firm) for name in ranges}
    assert named <= given


def _changed(tmp_path, old: str, new: str):
    text = files("merrflow.stages").joinpath("grounding.yaml").read_text("utf-8")
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new, 1), "utf-8")
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("contradicted: [{loudness: [-19, null]}]", "contradicted: [{loudness: [-30, null]}]", "no gap"),
        ("firm: [{loudness: [-14, null]}]", "firm: [{loudness: [-30, null]}]", "within a supported range"),
        ("phrases: [quiet,", "phrases: [loud, quiet,", "'loud' occurs twice"),
        ("supported: [{loudness: [null, -28", "suported: [{loudness: [null, -28", "unknown key"),
        ("supported: [{pitch_median: [130, 225]}]", "supported: [{pitch_median: [230, 225]}]", "above its most"),
        ("supported_content: [silence]", "supported_content: [quietness]", "unknown content 'quietness'"),
    ],
)
def test_a_rule_file_with_a_fault_is_refused(tmp_path, old, new, message) -> None:
    with pytest.raises(DataFileError, match=message) as caught:
        read_rules(_changed(tmp_path, old, new))
    assert f"{tmp_path / 'mine.yaml'}, line " in str(caught.value)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the research annotations are not beside the repository")
def test_the_published_tone_sentences_are_read() -> None:
    published = json.loads(PUBLISHED.read_text("utf-8"))
    sentences = Counter(record["audio_prior_list"] for record in published.values())
    silent = sum(count for text, count in sentences.items() if not set(claimed(text)) - {"speech"})
    assert silent <= 4, "the three that only quote a foreign sentence, and 'saying'"
    assert not any("not " in claim for text in sentences for claim in claimed(text))


def test_phrases_are_looked_for_by_their_first_letter_and_none_is_passed_over():
    finder = _finder(load_grounding())
    assert len(finder.each) > 300 > max(map(len, finder.each_by_letter.values()))
    owners = [*load_grounding().ignored, *(one for quality in load_grounding().qualities for one in quality.phrases)]
    for phrase, (pattern, name) in zip(owners, finder.each, strict=True):
        text = phrase.replace("*", "s")
        for written in (
            text,
            text.upper(),
            text.replace("k", "\u212a").replace("s", "\u017f"),
        ):  # which "k" and "s" match
            assert pattern.match(written) and (pattern, name) in finder.beginning(written[0]), phrase
