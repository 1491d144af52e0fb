"""Clues that are too long, and labels that are no closed set, reach no engine, whichever it is."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from merrflow.llama3.v1 import llama3_pb2 as pb
from merrflow_llama3 import SPEC
from merrflow_llama3.service import EmotionReasoner
from merrflow_llama3.types import ReasonItem, ScoreItem
from merrflow_serving.errors import InvalidInput, TooLarge

LIMIT = 100


class Reached(Exception):
    """The engine's queue got the item."""


def reasoner(**settings) -> EmotionReasoner:
    async def run(item, clip):
        assert isinstance(item, ReasonItem | ScoreItem)
        raise Reached

    return EmotionReasoner(SimpleNamespace(run=run, settings=SPEC.settings(**settings)))


LONG = "a" * (LIMIT + 1)


@pytest.mark.parametrize(
    "clues",
    [
        {"scene": LONG},
        {"tone": LONG},
        {"subtitle": LONG},
        {"label": LONG},
        {"expressions": [LONG]},
        {"expressions": [""] * (LIMIT + 1)},
        {"expressions": ["a"] * LIMIT},
        {"scene": "a" * 50, "subtitle": "a" * 51},
    ],
    ids=lambda clues: "+".join(clues),
)
async def test_what_is_too_long_reaches_no_engine(clues):
    service = reasoner(max_clue_characters=LIMIT)
    for call in (
        service.Reason(pb.ReasonRequest(clues=pb.Clues(**clues)), None),
        service.Score(pb.ScoreRequest(clues=pb.Clues(**clues), labels=["a", "b"]), None),
    ):
        with pytest.raises(TooLarge, match=r"more than 100 characters: shorten .* MERRFLOW_LLAMA3_MAX_CLUE_CHARACTERS"):
            await call


async def test_labels_count_too():
    clues = pb.Clues(scene="a" * 90)
    with pytest.raises(TooLarge):
        await reasoner(max_clue_characters=LIMIT).Score(pb.ScoreRequest(clues=clues, labels=["angry", "happy"]), None)


async def test_what_is_just_short_enough_is_taken():
    clues = pb.Clues(scene="\u4e00" * 50, subtitle="a" * 40, expressions=["b" * 9])
    with pytest.raises(Reached):
        await reasoner(max_clue_characters=LIMIT).Reason(pb.ReasonRequest(clues=clues), None)


async def test_megabytes_cost_nothing_by_default():
    request = pb.ReasonRequest(clues=pb.Clues(subtitle="word " * 3_000_000, expressions=["a"] * 1_000_000))
    began = time.process_time()
    with pytest.raises(TooLarge):
        await reasoner().Reason(request, None)
    assert time.process_time() - began < 1


async def test_the_longest_clip_there_is_fits():
    """Ten minutes of fast speech, every expression, and the longest answers of the other models."""
    clues = pb.Clues(scene="a" * 3000, expressions=["a" * 30] * 17, tone="a" * 2000, subtitle="a" * 15 * 600)
    with pytest.raises(Reached):
        await reasoner().Reason(pb.ReasonRequest(clues=clues), None)


@pytest.mark.parametrize("labels", [[], ["sad"], ["sad", ""], ["sad", " "], ["sad", "sad"], ["sad", "Sad"]])
async def test_what_is_no_closed_set_reaches_no_engine(labels):
    with pytest.raises(InvalidInput, match="label") as refused:
        await reasoner().Score(pb.ScoreRequest(clues=pb.Clues(tone="loud"), labels=labels), None)
    assert refused.value.reason == "LABELS"
