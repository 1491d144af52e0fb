"""What bears on a label: the table agrees with the lexicons, and nothing else is cited."""

from __future__ import annotations

import pytest

from merrflow.facs import load_lexicon
from merrflow_llama3.bearing import bearing, bearing_clues, grounds, unit_of
from merrflow_llama3.lexicon import labels
from merrflow_llama3.types import Clues


def test_every_label_of_the_lexicon_is_in_the_table():
    assert set(bearing().labels) == set(labels())


def test_the_phrases_of_the_default_lexicon_are_known_by_their_unit():
    for unit, phrases in load_lexicon("default").phrases.items():
        for phrase in phrases:
            assert unit_of(phrase) == (unit if unit in bearing().units else ""), phrase


def test_every_unit_of_a_combination_has_phrases():
    for label, table in bearing().labels.items():
        assert {unit for combination in table.face for unit in combination} <= set(bearing().units), label


@pytest.mark.parametrize("label", ["neutral", "sad", "contempt"])
def test_a_wide_pitch_range_speaks_for_no_feeling_that_it_does_not_go_with(label):
    assert grounds(Clues(tone="The voice is high-pitched and loud, with a wide pitch range"), label).weight == 0


@pytest.mark.parametrize(
    ("tone", "speaks"),
    [
        ("The voice is medium-pitched and moderately loud, with a normal pitch range", ()),
        ("The voice is loud, with a moderate pace", ()),
        ("The voice has a normal pitch range and a moderate pace; it sounds neutral", ("neutral voice",)),
        ("her tone sounds normal", ("normal voice",)),
    ],
)
def test_one_measure_that_is_normal_is_no_ground_for_neutral(tone, speaks):
    assert grounds(Clues(tone=tone), "neutral").voice == speaks


def test_what_does_not_bear_is_left_out():
    given = Clues(
        scene="A person is seen.",
        expressions=("lip corners pulled up", "pressed lips"),
        tone="The voice is low-pitched and quiet, with a wide pitch range",
        subtitle="The bus leaves at nine.",
        label="happy",
    )
    kept = bearing_clues(given)
    assert kept.expressions == ("lip corners pulled up",)
    assert kept.tone == "a wide pitch range"
    assert (kept.scene, kept.subtitle) == (given.scene, given.subtitle)
    assert bearing_clues(kept) == kept


@pytest.mark.parametrize(
    ("said", "label", "speaks"),
    [
        ("I am so happy!", "happy", True),
        ("I am not happy.", "happy", False),
        ("What? You are here?", "surprise", True),
        ("I know what you mean.", "surprise", False),
        ("I am so happy!", "sad", False),
        ("我很高兴", "happy", False),
    ],
)
def test_words_speak_unless_they_are_denied(said, label, speaks):
    assert bool(grounds(Clues(subtitle=said), label).quotes) is speaks


def test_a_translation_speaks_for_the_subtitle():
    assert grounds(Clues(subtitle="我很高兴", translation="I am happy."), "happy").quotes == ("I am happy.",)


def test_weak_clues_are_faint_and_a_whole_combination_is_not():
    assert grounds(Clues(expressions=("raised cheeks",)), "happy").faint
    assert grounds(Clues(tone="The voice is loud"), "angry").faint
    assert not grounds(Clues(expressions=("raised cheeks", "lip corners pulled up")), "happy").faint
    assert not grounds(Clues(expressions=("lowered brows",), tone="The voice is loud"), "angry").faint
