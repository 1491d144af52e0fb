"""Decoding: rows do not depend on their neighbours."""

from __future__ import annotations

import dataclasses
import itertools
import random

import pytest
import torch

from merrflow_minigpt_v2.engines.minigpt_v2.generation import Reply
from merrflow_serving.torch.decoding import Decoding
from merrflow_serving.torch.sampling import SeededNucleus
from tests.services.minigpt_v2 import reference
from tests.services.minigpt_v2.models import answer_generator, question, vision_encoder
from tests.services.minigpt_v2.test_vision import prepared
from tests.services.minigpt_v2.tiny import make_files, picture

pytestmark = pytest.mark.usefixtures("one_thread")
DEMO = Decoding(temperature=0.6, top_p=0.9, repetition_penalty=1.05)


@pytest.fixture(scope="module")
def files():
    return make_files()


@pytest.fixture(scope="module")
def questions(files):
    """Eight, with instructions of 1 to 120 words."""
    seen = vision_encoder(files).encode([prepared(picture(number)) for number in range(8)])
    lengths = (1, 120, 40, 3, 80, 7, 20, 60)
    return [
        question(tokens, " ".join(["encode", "the", "light"][word % 3] for word in range(length)), seed=number)
        for number, (tokens, length) in enumerate(zip(seen, lengths, strict=True))
    ]


def steps(loaded, questions) -> list[torch.Tensor]:
    """Logits of each step, (rows, vocabulary)."""
    inputs = loaded.inputs(questions)
    return list(loaded.model.generate(**inputs, output_logits=True, return_dict_in_generate=True).logits)


def test_alone_in_a_batch_with_longer_ones_and_in_another_order(files, questions):
    loaded = answer_generator(files)
    alone = [loaded.answer([one])[0] for one in questions]
    assert len({reply.ids for reply in alone}) > 4  # they do say different things
    assert loaded.answer(questions) == alone
    order = [5, 2, 7, 0, 1, 6, 4, 3]
    assert loaded.answer([questions[place] for place in order]) == [alone[place] for place in order]
    together = steps(loaded, questions)
    for row, one in enumerate(questions):
        for mine, theirs in zip(steps(loaded, [one]), together, strict=False):
            torch.testing.assert_close(theirs[row], mine[0], atol=1e-4, rtol=0)


def test_greedy_equals_the_description_without_cache_or_padding(files, questions):
    loaded = answer_generator(files, answer_tokens=6)
    for one, reply in zip(questions[:3], loaded.answer(questions[:3]), strict=True):
        expected = reference.greedy(files, loaded.splice(one), 6)
        assert list(reply.ids) == [each for each in expected if each != 2]
        assert reply.whole == (2 in expected)


def test_each_row_stops_for_itself(files, questions):
    """With an output layer that favours the stop in some rows, after some steps."""
    loaded = answer_generator(files, answer_tokens=40)
    loaded.model.lm_head.weight.data[2] *= 2.2
    replies = loaded.answer(questions)
    lengths = [len(reply.ids) for reply in replies if reply.whole]
    assert len(set(lengths)) > 1 and all(2 not in reply.ids for reply in replies)
    assert [loaded.answer([one])[0] for one in questions] == replies


def test_the_token_limit_cuts(files, questions):
    loaded = answer_generator(files, answer_tokens=3)
    loaded.model.lm_head.weight.data[2] = 0
    (reply,) = loaded.answer(questions[:1])
    assert len(reply.ids) == 3 and not reply.whole


def test_no_answer_is_empty(files, questions):
    loaded = answer_generator(files)
    loaded.model.lm_head.weight.data[:] = 0  # all tokens alike: the first id, 0, wins unless the stop is first
    loaded.model.lm_head.weight.data[2] = 1
    loaded.model.model.norm.weight.data[:] = 1
    for reply in loaded.answer(questions):
        assert reply.ids
    assert loaded.answer([]) == []


def test_sampling_does_not_depend_on_neighbours(files, questions):
    loaded = answer_generator(files, decoding=DEMO)
    alone = [loaded.answer([one])[0] for one in questions]
    assert loaded.answer(questions[::-1]) == alone[::-1]
    assert alone != answer_generator(files).answer(questions)
    again = question(questions[0].picture, "encode", seed=99)
    seeds = {loaded.answer([question(again.picture, "encode", seed=number)])[0].ids for number in range(8)}
    assert len(seeds) > 1


def test_drawn_shares_are_those_of_the_nucleus():
    shares = torch.tensor([0.05, 0.5, 0.3, 0.15])
    decoding = Decoding(temperature=0.5, top_p=0.9, repetition_penalty=1)
    sharpened = shares.square() / shares.square().sum()  # temperature 1/2
    kept = sharpened * torch.tensor([0.0, 1.0, 1.0, 0.0])  # 0.685 + 0.247 reach 0.9
    expected = kept / kept.sum()
    draw = SeededNucleus(range(4000), decoding)
    chosen = draw(torch.empty(4000, 0, dtype=torch.long), shares.log().repeat(4000, 1)).argmax(-1)
    found = torch.bincount(chosen, minlength=4) / 4000
    torch.testing.assert_close(found, expected, atol=0.03, rtol=0)
    assert found[0] == found[3] == 0


def test_the_nucleus_is_of_the_top_k():
    """As in transformers: top-k first, then the nucleus of what is left."""
    shares = torch.tensor([0.2, 0.3, 0.1, 0.4])
    draw = SeededNucleus(range(4000), Decoding(temperature=1, top_p=0.75, top_k=3, repetition_penalty=1))
    chosen = draw(torch.empty(4000, 0, dtype=torch.long), shares.log().repeat(4000, 1)).argmax(-1)
    # Of three, 0.4 + 0.3 are 0.78 of all, and reach 0.75; of four they would be 0.7, and the 0.2 would come along.
    found = torch.bincount(chosen, minlength=4) / 4000
    torch.testing.assert_close(found, torch.tensor([0.0, 3 / 7, 0.0, 4 / 7]), atol=0.03, rtol=0)


@pytest.mark.parametrize("top_p", [1e-6, 0.3, 1.0])
def test_one_token_is_left_and_it_is_never_an_impossible_one(top_p):
    source = random.Random(3)
    for rows, width in itertools.product((1, 3), (1, 2, 50)):
        scores = torch.tensor([[source.gauss(0, 3) for _ in range(width)] for _ in range(rows)])
        scores[:, width // 2 + 1 :] = float("-inf")
        drawn = SeededNucleus(range(rows), Decoding(temperature=0.6, top_p=top_p, repetition_penalty=1))(None, scores)
        assert (drawn.isfinite().sum(-1) == 1).all()
        assert scores.gather(-1, drawn.argmax(-1, keepdim=True)).isfinite().all()
        if top_p < 0.1:
            assert torch.equal(drawn.argmax(-1), scores.argmax(-1))


def test_a_rehearsal_takes_one_step_from_the_cache(files, questions):
    loaded = answer_generator(files)
    calls = []
    loaded.model.register_forward_pre_hook(
        lambda module, args, given: calls.append(
            given["inputs_embeds"] is not None if "inputs_embeds" in given else False
        ),
        with_kwargs=True,
    )
    replies = loaded.rehearse(questions[:2])
    assert calls == [True, False] and all(isinstance(reply, Reply) for reply in replies)


def test_a_row_that_nobody_waits_for_ends_and_changes_no_other(files, questions):
    loaded = answer_generator(files, decoding=DEMO, answer_tokens=12)
    expected = loaded.answer(questions[:4])
    asked = itertools.count(1)
    left = [*questions[:4]]
    left[1] = dataclasses.replace(left[1], is_wanted=lambda: next(asked) < 3)
    found = loaded.answer(left)
    assert found[1].ids[:3] == expected[1].ids[:3] and next(asked) >= 4
    assert [found[row] for row in (0, 2, 3)] == [expected[row] for row in (0, 2, 3)]


def test_decoding_ends_once_nobody_waits_for_any_row(files, questions):
    loaded = answer_generator(files, answer_tokens=40)
    steps_done: list[tuple] = []
    left = [dataclasses.replace(one, is_wanted=lambda: False) for one in questions[:3]]
    hook = loaded.model.register_forward_hook(lambda *given: steps_done.append(given))
    loaded.answer(left)
    hook.remove()
    assert len(steps_done) == 1, "that of the prompt"
