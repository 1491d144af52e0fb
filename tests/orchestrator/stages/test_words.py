"""The words of a clip: subtitle before speech."""

from __future__ import annotations

from merrflow.core.spoken import SpeechSegment, Subtitle, Transcript
from merrflow.stages.words import words

NONE = Subtitle(None, "none", "", "nothing is written")
HEARD = Transcript(
    "Come in. Sit down.",
    "en",
    0.97,
    (
        SpeechSegment(0.1, 0.6, "Come in.", 0.9),
        SpeechSegment(0.7, 0.9, "Thanks for watching", 0.9, 0.8, "words that the model is known to invent"),
        SpeechSegment(1.0, 1.6, "Sit down", 0.5),
    ),
)


def test_a_subtitle_is_better_than_what_was_heard():
    written = Subtitle("Come in!", "srt", "en", "a.srt: 1 of 1 lines")
    assert words(written, HEARD) is written


def test_what_was_heard_is_better_than_nothing():
    found = words(NONE, HEARD)
    assert (found.text, found.source, found.language) == ("Come in. Sit down.", "speech", "en")
    assert found.reason == "nothing is written; recognised from the sound"
    assert found.confidence == 0.7  # of the kept segments, by length


def test_nothing_heard_gives_both_reasons():
    nobody = Transcript("", "", 0.0, (), "nobody speaks")
    assert words(NONE, nobody).reason == "nothing is written; speech: nobody speaks"
    assert nobody.confidence == 0.0
    assert words(NONE, None) is NONE
