"""The rules as a judge of claims."""

from __future__ import annotations

import asyncio
import json

import pytest

from benchmarks.text_checks import GOOD, texts
from merrflow.core.texts import Tone
from merrflow.stages.claims.judge import Evidence, Finding
from merrflow.stages.claims.rules import RuleJudge, judged
from merrflow.stages.claims.split import split
from tests.paths import SHARED

PUBLISHED = SHARED / "merr" / "merr_fine_grained.half.json"
CLUES = {
    "scene": "A woman sits at a desk in front of a lamp.",
    "face": "lip corners pulled up, raised cheeks",
    "voice": "The voice is loud and animated.",
    "words": "We won the game!",
    "label": "happy",
}


@pytest.mark.parametrize(
    ("claim", "finding", "clue"),
    [
        ("A woman sits at a desk", "supported", "scene"),
        ("A man sits at a desk", "contradicted", "scene"),
        ("He sits at a desk", "contradicted", "scene"),
        ("She sits at a desk", "supported", "scene"),
        ("A waiter waits nearby", "not told", ""),
        ("The person throws a plate", "not told", ""),
        ("with raised cheeks", "supported", "face"),
        ("She smiles", "supported", "face"),
        ("She does not smile", "contradicted", "face"),
        ("with lip corners pulled down", "contradicted", "face"),
        ("with a wrinkled nose", "not told", ""),
        ("the voice is loud", "supported", "voice"),
        ("the voice is quiet", "contradicted", "voice"),
        ("the voice is not loud", "contradicted", "voice"),
        ("the voice is trembling", "not told", ""),
        ("the voice is perhaps quiet", "not told", ""),
        ('"We won the game" can be heard', "supported", "words"),
        ('"We lost everything" can be heard', "contradicted", "words"),
        ("The person feels joyful", "supported", "label"),
        ("The person feels sad", "contradicted", "label"),
        ("The person does not feel happy", "contradicted", "label"),
        ("This typically indicates sadness or surprise", "not told", ""),
    ],
)
def test_a_claim_is_judged_by_the_clue_that_speaks_of_it(claim, finding, clue):
    found = judged(claim, Evidence(CLUES))
    assert (found.finding, found.clue) == (Finding(finding), clue), found.reason
    assert found.finding is Finding.SUPPORTED or found.reason


@pytest.mark.parametrize(
    "claim",
    [
        "with a fearful expression and a cheerful tone",
        "raised cheeks, a sign of stress or anxiety, contradict the cheerful tone",
        "a cheerful tone, despite a seemingly negative statement",
        "her cheerful tone adds to the sad atmosphere",
        "he shows facial expressions of anger, including raised cheeks, while speaking in a cheerful tone",
    ],
)
def test_what_goes_with_another_noun_is_not_said_of_the_voice(claim):
    found = judged(claim, Evidence({"face": "raised cheeks", "voice": "The voice is cheerful."}))
    assert found.finding is not Finding.CONTRADICTED, found.reason


@pytest.mark.parametrize(
    "claim",
    [
        "She speaks with raised cheeks, and a sad voice",
        "Her voice is high, fearful and slow",
        "the overall tone is melancholic",
        "a furrowed brow, and a melancholic tone",
        "with an intonation of fear",
    ],
)
def test_what_goes_with_the_voice_is_said_of_it(claim):
    found = judged(claim, Evidence({"face": "raised cheeks", "voice": "The voice is cheerful."}))
    assert (found.finding, found.clue) == (Finding.CONTRADICTED, "voice"), found.reason


@pytest.mark.parametrize(
    ("claim", "label"),
    [
        ("This lack of inflection and the neutral face suggest that the person's state is indeed neutral", "neutral"),
        ("The conversation, mentioning a little girl being angry", "worried"),
        ("there is no clear indication of a specific label such as fear, anger, or happiness", "neutral"),
    ],
)
def test_a_feeling_that_is_not_said_of_the_person_contradicts_no_label(claim, label):
    assert judged(claim, Evidence({"label": label})).finding is not Finding.CONTRADICTED


def test_a_negation_after_a_movement_is_of_something_else():
    evidence = Evidence({"face": "lowered brows"})
    claim = "the lowered brows indicate focused attention rather than a strong response"
    assert judged(claim, evidence).finding is not Finding.CONTRADICTED
    assert judged("the brows are not lowered", evidence).finding is Finding.CONTRADICTED


def test_a_quotation_is_found_as_whole_words():
    evidence = Evidence({"words": "I know the party"})
    for quote in ("no", "art", "he par"):
        assert judged(f'"{quote}" can be heard', evidence).finding is Finding.CONTRADICTED
    assert judged('"the party" can be heard', evidence).finding is Finding.SUPPORTED


def test_words_for_how_sure_a_conclusion_is_claim_nothing():
    claim = "Only the animated voice suggests faintly that the person feels happy"
    assert judged(claim, Evidence(CLUES)).finding is Finding.SUPPORTED


def test_a_measurement_decides_before_the_voice_clue_does():
    measured = Tone("The voice is loud.", "speech", {"loudness": (-45.0, "dBFS")}, ())
    found = judged("the voice is loud", Evidence(CLUES, tone=measured))
    assert found.finding is Finding.CONTRADICTED
    assert "loudness -45" in found.reason


def test_units_at_the_peak_count_beside_the_face_clue():
    evidence = Evidence({"face": "raised cheeks"}, action_units=frozenset({"AU06", "AU25"}))
    assert judged("with parted lips", evidence).finding is Finding.SUPPORTED
    assert judged("with pressed lips", evidence).finding is Finding.CONTRADICTED


def test_clues_may_have_any_names():
    evidence = Evidence({"another engine": "The man's voice is quiet and slow."})
    assert judged("his voice is slow", evidence).clue == "another engine"
    assert judged("his voice is shouting", evidence).finding is Finding.CONTRADICTED


def test_without_clues_nothing_is_told():
    assert judged("A woman sits", Evidence({"scene": " "})).finding is Finding.NOT_TOLD


def test_words_in_another_language_contradict_no_translation():
    evidence = Evidence({"words": "我们赢了比赛！"})
    assert judged('"We won the game" is said', evidence).finding is Finding.NOT_TOLD


def test_claims_are_judged_in_their_order_off_the_event_loop():
    claims = ["A man sits", "A woman sits"]
    found = asyncio.run(RuleJudge().judge("clip", claims, Evidence(CLUES)))
    assert [one.claim for one in found] == claims
    assert [one.finding for one in found] == [Finding.CONTRADICTED, Finding.SUPPORTED]


def test_every_planted_fault_is_found_and_no_good_text_is_accused():
    ignoring = {"face ignored", "voice ignored", "words ignored"}  # which is no claim
    for one in texts():
        clues = one.clues
        named = {"face": ", ".join(clues.expressions), "voice": clues.tone, "words": clues.subtitle}
        evidence = Evidence(named | {"scene": clues.scene, "label": clues.label})
        faults = [claim for claim in split(one.text) if judged(claim, evidence).finding is not Finding.SUPPORTED]
        assert bool(faults) == (one.kind not in {GOOD, *ignoring}), (one, faults)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="needs MERR's published captions")
def test_few_published_captions_are_contradicted_by_their_clues():
    records = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    names, wrong = sorted(records)[::8], 0
    for name in names:
        record = records[name]
        clues = {
            "face": ", ".join(record["visual_prior_list"]),
            "voice": record["audio_prior_list"],
            "words": record["text"],
            "label": record["pseu_emotion"],
        }
        evidence = Evidence(clues, action_units=frozenset(record["peak_AU_list"]))
        found = [judged(claim, evidence).finding for claim in split(record["smp_reason_caption"])]
        wrong += Finding.CONTRADICTED in found
    assert wrong / len(names) < 0.05
