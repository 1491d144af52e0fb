"""Measures of one record: each right, and none when there is nothing to measure by."""

from __future__ import annotations

from dataclasses import replace

import pytest

from merrflow.core.labels import Standing, Verdict, Vote
from merrflow.core.spoken import Subtitle, Transcript
from merrflow.core.texts import Tone
from merrflow.datasets.scoring.measures import ABOUT, measures
from merrflow.datasets.scoring.texts import Corpus
from tests.orchestrator.datasets.report.runs import record

TEXT = "With raised cheeks, lip corners pulled up and a wrinkled nose, the person smiles. The voice is loud."
LOUD = Tone("The voice is loud.", "speech", {"loudness": (-10.0, "dBFS")}, ())
HEARD = Transcript("what a day", "en", 0.9, (), "")


def measured(one, text=TEXT, heard=None):
    corpus = Corpus()
    corpus.add(text)
    corpus.add("Another text that is about something else.")
    return measures(one, text, corpus, heard)


def test_every_measure_is_there_in_order_with_a_value_or_a_reason():
    found = measured(record("clip"))
    assert list(found) == list(ABOUT)
    assert all((one.value is None) == bool(one.reason) for one in found.values())


def test_movements_against_the_units_at_the_peak():
    found = measured(record("clip"))  # AU06 and AU12
    assert found["au_precision"].value == pytest.approx(3 / 4)  # the nose is wrong
    assert found["au_recall"].value == 1
    assert found["au_f1"].value == pytest.approx(6 / 7)


def test_a_text_without_a_movement_has_a_recall_of_zero_and_no_precision():
    found = measured(record("clip"), "The voice is loud.")
    assert found["au_recall"].value == 0
    assert found["au_precision"].value is None and found["au_f1"].value is None


def test_tone_against_sound():
    assert measured(record("clip", tone=LOUD))["tone_fine"].value == 1
    quiet = replace(LOUD, measurements={"loudness": (-50.0, "dBFS")})
    found = measured(record("clip", tone=quiet))
    assert found["tone_fine"].value == 0 and found["tone_text"].value == 0
    none = measured(record("clip", tone=None, missing={"tone": "no sound track"}))
    assert none["tone_fine"].value is None and none["tone_fine"].reason == "no sound track"


def test_words_are_compared_if_both_writings_are_there():
    assert measured(record("clip"), heard=HEARD)["words_wer"].value == 0
    assert measured(record("clip"))["words_wer"].value is None
    recognised = Subtitle("What a day", "speech", "en", "")
    assert measured(record("clip", subtitle=recognised), heard=HEARD)["words_wer"].value is None
    silent = Subtitle(None, "none", "", "")
    assert measured(record("clip", subtitle=silent), heard=HEARD)["words_wer"].reason == "there is no subtitle"


def test_who_says_another_label_counts_and_who_abstains_does_not():
    label = record("clip").label
    votes = (
        Vote("words", "for", "happy", 1, ""),
        Vote("voice", "against", "", 1, ""),
        Vote("units", "abstains", "", 0, ""),
    )
    standing = Standing(Verdict.UNDETERMINED, votes, "", "")
    views = {"all": {"happy": 0.6, "sad": 0.4}, "face": {"happy": 0.2, "sad": 0.8}}
    one = replace(record("clip"), label=replace(label, standing=standing), distribution=views)
    assert measured(one)["label_agreement"].value == 0.5
    assert measured(record("clip"))["label_agreement"].value is None
