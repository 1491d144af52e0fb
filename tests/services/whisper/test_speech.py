"""The speech in a recording: where it is, how loud, in which windows."""

from __future__ import annotations

import numpy as np
import pytest

from merrflow_whisper.engines.speech import Speech, levelled, windows


def test_levelled_amplifies_and_never_damps():
    loud = np.full(16_000, 0.5, np.float32)
    assert np.array_equal(levelled(loud), loud)
    assert np.allclose(levelled(loud * 0.02), 0.1, atol=1e-4)
    assert levelled(np.zeros(16_000, np.float32)).max() == 0 and levelled(np.zeros(3, np.float32)).size == 3


def test_times_of_the_recording():
    speech = Speech(np.zeros(48_000, np.float32), ((16_000, 32_000), (64_000, 96_000)))
    assert [speech.seconds(at) for at in (0.0, 0.5, 1.0, 2.5, 9.0)] == [1.0, 1.5, 4.0, 5.5, 6.0]
    assert speech.seconds(1.0, end=True) == 2.0 and speech.stretches() == [(0, 16_000), (16_000, 48_000)]
    assert Speech(np.zeros(0, np.float32), ()).stretches() == []


@pytest.mark.parametrize(
    ("stretches", "found"),
    [
        ([(0, 4), (4, 9), (9, 12)], [(0, 9), (9, 12)]),
        ([(0, 25)], [(0, 10), (10, 20), (20, 25)]),
        ([], []),
    ],
)
def test_windows_end_where_a_stretch_does(stretches, found):
    assert windows(stretches, 10) == found
