"""The stage that asks for the tone: a clip without sound is told apart from one whose sound track is empty."""

from __future__ import annotations

from typing import Any

import pytest

from merrflow.core.measurements import Probe, Shot
from merrflow.stages.stage import Missing
from merrflow.stages.tone import STAGE

WORK: Any = None  # which the decision does not look at


@pytest.mark.parametrize(
    "audio_seconds, expected",
    [
        (None, Missing("the file has no sound track")),
        (0.0, Missing("the file has an empty sound track")),
        (0.04, None),
    ],
)
def test_a_clip_without_sound_has_no_tone(audio_seconds, expected):
    assert STAGE.without is not None
    assert STAGE.without(WORK, Probe(96, 64, 25.0, 1, 0.04, (Shot(0, 1),), audio_seconds)) == expected
