"""Cutting a recording into windows of at most 30 s."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from merrflow_qwen_audio.engines.audio_language.windows import WINDOW_SECONDS, windows
from merrflow_qwen_audio.types import Span


def test_what_fits_goes_whole():
    assert windows(30.0, ()) == (Span(0.0, 30.0),)
    assert windows(4.0, (Span(1.0, 2.0),)) == (Span(0.0, 4.0),)


def test_cuts_lie_between_utterances():
    speech = (Span(0.5, 12.0), Span(13.0, 25.0), Span(28.0, 33.0), Span(50.0, 58.0), Span(100.0, 101.0))
    assert windows(120.0, speech) == (Span(0.5, 25.0), Span(28.0, 58.0), Span(100.0, 101.0))


def test_an_utterance_that_does_not_fit_is_cut_in_even_parts():
    assert windows(80.0, (Span(2.0, 77.0),)) == (Span(2.0, 27.0), Span(27.0, 52.0), Span(52.0, 77.0))


def test_a_long_recording_without_speech_has_none():
    assert windows(31.0, ()) == ()


@st.composite
def recordings(draw):
    edges = sorted(draw(st.lists(st.floats(0, 600), min_size=2, max_size=24, unique=True)))
    speech = tuple(Span(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False))
    return draw(st.floats(edges[-1], 600)), speech


@given(recordings())
def test_all_speech_is_heard_once_and_no_window_is_too_long(recording):
    seconds, speech = recording
    found = windows(seconds, speech)
    assert all(0 <= one.start < one.end <= seconds for one in found)
    assert all(one.end - one.start <= WINDOW_SECONDS + 1e-6 for one in found)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    for span in speech:
        heard = sum(max(0.0, min(one.end, span.end) - max(one.start, span.start)) for one in found)
        assert abs(heard - (span.end - span.start)) < 1e-6
