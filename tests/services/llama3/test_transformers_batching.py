"""Many answers at once in the `transformers` engine, and what happens when memory runs out."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from merrflow_llama3 import SPEC
from merrflow_llama3.engines.language_model import Ask, Question
from merrflow_llama3.engines.transformers import Transformers, batching, draw
from merrflow_llama3.types import ReasonItem
from merrflow_serving.errors import Abandoned, EngineFault, NotReady, TooLarge
from merrflow_serving.torch.lost import DeviceLost
from tests.services.llama3.batching_models import GOLDEN, GREEDY, STOPS, WARM, answers, batching_model, prompts
from tests.services.llama3.clue_sets import SAD
from tests.services.llama3.tiny_llama import write_tiny_llama


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return write_tiny_llama(tmp_path_factory.mktemp("tiny") / "tiny")


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_answers_are_those_of_plain_generate(folder, attention):
    model = batching_model(folder, attention=attention)
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    try:
        asks = [Ask(tokens, 0, 10) for tokens in prompts()]
        for ask, drawn in zip(asks, answers(model, asks), strict=True):
            made = plain.generate(
                torch.tensor([ask.tokens]), do_sample=False, temperature=None, top_p=None, max_new_tokens=10,
                eos_token_id=sorted(STOPS), pad_token_id=1017,
            )[0, len(ask.tokens) :].tolist()  # fmt: skip
            assert list(drawn.tokens) == [token for token in made if token not in STOPS]
            assert drawn.cut == (made[-1] not in STOPS)
    finally:
        model.close()


def test_logits_alone_and_in_a_batch_are_the_same_to_a_ten_thousandth(folder, monkeypatch):
    rows: list[torch.Tensor] = []
    real = draw.SeededDraw.__call__

    def watched(self, scores, draws):
        rows.extend(scores.clone())
        return real(self, scores, draws)

    monkeypatch.setattr(draw.SeededDraw, "__call__", watched)
    model = batching_model(folder, WARM)
    try:
        asks = [Ask(tokens, 40 + place, 6) for place, tokens in enumerate(prompts())]
        together = answers(model, asks)
        among = torch.stack(rows)
        for ask, drawn in zip(asks, together, strict=True):
            rows.clear()
            assert answers(model, [ask]) == [drawn]
            for row in rows:
                assert (among - row).abs().amax(-1).min() < 1e-4
    finally:
        model.close()


def test_prompts_share_the_pages_they_begin_with(folder):
    model = batching_model(folder)
    try:
        shared = prompts(1)[0][:64]
        answers(model, [Ask((*shared, 1, 2, 3), 0, 4)])
        cache = model._manager.batch_processor.cache
        found = cache.search_prefix_match("another", [*shared, 4, 5, 6])
        cache.free_blocks("another")
        assert found == 64
    finally:
        model.close()


def test_more_asks_than_the_cache_holds_wait_their_turn(folder):
    roomy, tight = (
        batching_model(folder, WARM, requests=8),
        batching_model(folder, WARM, requests=2, context_tokens=256),
    )
    try:
        asks = [Ask(tokens, place, 8) for place, tokens in enumerate(prompts(7))] * 2
        assert tight.plan.tokens < sum(len(ask.tokens) + 8 for ask in asks)
        assert answers(tight, asks) == answers(roomy, asks)
    finally:
        roomy.close()
        tight.close()


# -- out of memory


class Full:
    """A forward pass that has memory for so many answers' tokens."""

    def __init__(self, model, monkeypatch, most: int) -> None:
        self.most = most
        self.failures = 0
        real = model._model.forward

        def forward(*args, **kwargs):
            starts = kwargs.get("cu_seq_lens_q")
            if starts is not None and starts.numel() - 1 > self.most:
                self.failures += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return real(*args, **kwargs)

        monkeypatch.setattr(model._model, "forward", forward)


def test_out_of_memory_lowers_the_limit_and_loses_nobody(folder, monkeypatch):
    model = batching_model(folder, WARM)
    try:
        asks = [Ask(tokens, place, 8) for place, tokens in enumerate(prompts())]
        expected = answers(model, asks)
        full = Full(model, monkeypatch, most=3)
        assert answers(model, asks) == expected
        assert model.plan.requests == 2 and full.failures == 2  # 8, 4, 2
        assert answers(model, asks[::-1]) == expected[::-1]  # and it stays so
        assert full.failures == 2
    finally:
        model.close()


def test_one_that_does_not_fit_alone_is_too_large(folder, monkeypatch):
    model = batching_model(folder, WARM, requests=2)
    try:
        Full(model, monkeypatch, most=0)
        found = answers(model, [Ask(tokens, 0, 4) for tokens in prompts(2)])
        assert all(isinstance(error, TooLarge) for error in found)
    finally:
        model.close()


def test_a_lost_device_is_told(folder, monkeypatch):
    model = batching_model(folder)
    try:

        def gone(*_, **__):
            raise RuntimeError("CUDA error: device-side assert triggered")

        monkeypatch.setattr(model._model, "forward", gone)
        with pytest.raises(DeviceLost):
            answers(model, [Ask(prompts(1)[0], 0, 4)])
    finally:
        model.close()


def test_another_fault_is_raised_and_the_next_batch_works(folder, monkeypatch):
    model = batching_model(folder)
    try:
        asks = [Ask(tokens, 0, 4) for tokens in prompts(2)]
        expected = answers(model, asks)
        with monkeypatch.context() as patch:

            def broken(*_, **__):
                raise IndexError("a bug")

            patch.setattr(model._model, "forward", broken)
            with pytest.raises((IndexError, EngineFault), match="a bug"):
                answers(model, asks)
        assert answers(model, asks) == expected
    finally:
        model.close()


def test_scores_in_smaller_passes_where_memory_is_short(folder, monkeypatch):
    model = batching_model(folder)
    try:
        questions = [Question(tokens, ((5, 6), (7,), (8, 9, 10))) for tokens in prompts()]
        expected = model.likelihoods(questions)
        real = batching.likelihoods

        def short(loaded, some):
            if len(some) > 3 or any(len(question.tokens) > 200 for question in some):
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(loaded, some)

        monkeypatch.setattr(batching, "likelihoods", short)
        found = model.likelihoods(questions)
        for question, told, wanted in zip(questions, found, expected, strict=True):
            if len(question.tokens) > 200:
                assert isinstance(told, TooLarge)
            else:
                assert told == pytest.approx(wanted, abs=1e-4)
        assert sum(isinstance(told, TooLarge) for told in found) == 2
    finally:
        model.close()


def test_too_little_memory_for_one_answer_is_told(folder):
    with pytest.raises(NotReady, match="CONTEXT_TOKENS"):
        batching_model(folder, memory_bytes=1000)


def test_closing_ends_the_thread_and_can_be_repeated(folder):
    made = Transformers(SPEC.settings(weights=str(folder), device="cpu", answer_tokens=4, attempts=1, max_batch_size=2))
    made.load()
    thread = made._model._manager._generation_thread
    assert made.run([ReasonItem(SAD)])[0].answer_tokens <= 4 and thread.is_alive()
    made.close()
    made.close()
    assert not thread.is_alive()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_answers_are_scored_the_same_by_each_attention(folder, attention):
    model = batching_model(folder, attention=attention)
    try:
        questions = [Question(tokens, ((5, 6, 1023), (700,))) for tokens in prompts(3)]
        for found, golden in zip(model.likelihoods(questions), GOLDEN, strict=True):
            assert found == pytest.approx(golden, abs=1e-4)
        asks = [Ask(tokens, 0, 4) for tokens in prompts(2)]
        assert all(drawn.tokens for drawn in answers(model, asks))  # and it still writes after it has scored
    finally:
        model.close()


@pytest.mark.parametrize("how", [WARM, GREEDY])
def test_an_answer_that_nobody_waits_for_leaves_the_batch_and_changes_no_other(folder, monkeypatch, how):
    steps: list[int] = []
    real = draw.SeededDraw.__call__
    monkeypatch.setattr(
        draw.SeededDraw, "__call__", lambda self, scores, draws: steps.append(1) or real(self, scores, draws)
    )
    model = batching_model(folder, how)
    try:
        asks = [Ask(tokens, 40 + place, 6) for place, tokens in enumerate(prompts(4))]
        expected = answers(model, asks)
        asks[2] = Ask(asks[2].tokens, 42, 400)
        steps.clear()
        asked = itertools.count()
        found = {}
        model.generate(
            asks, lambda place, drawn: found.update({place: drawn}), lambda place: place != 2 or next(asked) < 4
        )
        assert isinstance(found[2], Abandoned) and len(steps) < 20
        assert [found[place] for place in (0, 1, 3)] == [expected[place] for place in (0, 1, 3)]
        questions = [Question(tokens, (tokens[:2],)) for tokens in prompts(3)]
        scores = model.likelihoods(questions, lambda place: place != 1)
        assert isinstance(scores[1], Abandoned)
        assert [scores[0][0], scores[2][0]] == pytest.approx([one[0] for one in model.likelihoods(questions)[::2]])
        assert answers(model, asks[:2]) == expected[:2]
    finally:
        model.close()
