"""How many pictures and rows the engine takes at once: what warm-up tries, and what it does without memory."""

from __future__ import annotations

import pytest
import torch

from merrflow_serving.errors import NotReady, TooLarge
from tests.services.minigpt_v2.tiny import item

pytestmark = pytest.mark.usefixtures("one_thread", "any_size")


def test_warm_up_reaches_the_largest_shapes(make, monkeypatch):
    from merrflow_minigpt_v2.engines.minigpt_v2.generation import AnswerGenerator
    from merrflow_minigpt_v2.engines.minigpt_v2.vision import VisionEncoder

    seen, spoken = [], []
    see, rehearse = VisionEncoder.encode, AnswerGenerator.rehearse
    monkeypatch.setattr(VisionEncoder, "encode", lambda self, items: seen.append(len(items)) or see(self, items))
    monkeypatch.setattr(
        AnswerGenerator,
        "rehearse",
        lambda self, items: spoken.append([len(one) for one in items]) or rehearse(self, items),
    )
    engine = make(encoder_batch=3, max_batch_size=6)
    assert seen == [3]
    (lengths,) = spoken
    # Of the longest instruction that is taken, with all its answer but the two tokens that the rehearsal adds.
    instruction = next(count for count in range(300, 0, -1) if not isinstance(_try(engine, "a " * count), TooLarge))
    longest = len(engine._loaded.ids("a " * instruction)) + 4  # and the picture's tokens
    assert lengths == [longest + 12 - 1] * 6


def _try(engine, text):
    try:
        return engine._loaded.ids(text)
    except TooLarge as error:
        return error


def test_out_of_memory_lowers_the_batch_and_loses_nothing(make, monkeypatch):
    engine = make(encoder_batch=8, max_batch_size=8)
    items = [item(number) for number in range(8)]
    expected = engine.run(items)
    vision_encoder, answer_generator = engine._loaded.encoder, engine._loaded.generator
    tried = []

    def _fits(function, most):
        def _run(batch):
            tried.append(len(batch))
            if len(batch) > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return function(batch)

        return _run

    vision_encoder.encode, answer_generator.answer = _fits(vision_encoder.encode, 3), _fits(answer_generator.answer, 5)
    assert engine.run(items) == expected
    assert tried == [8, 4, 2, 2, 2, 2, 8, 4, 4]
    tried.clear()
    assert engine.run(items) == expected
    assert tried == [2, 2, 2, 2, 4, 4]  # the limits stay low


def test_too_little_memory_for_one_row_says_so(make, monkeypatch):
    from merrflow_minigpt_v2.engines.minigpt_v2.generation import AnswerGenerator

    def _full(self, items):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(AnswerGenerator, "rehearse", _full)
    with pytest.raises(NotReady, match="too little memory"):
        make()
