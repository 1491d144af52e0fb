"""What `benchmarks.continuous_batching` shares with `benchmarks.gpu`: answers one by one and together."""

from __future__ import annotations

import random

import torch

from benchmarks.models.random_weights import randomised
from benchmarks.models.shapes import shape
from benchmarks.support.answers import answer_alone, answer_together, same
from merrflow_llama3.engines.transformers.batching import BatchingModel, Sizes
from merrflow_llama3.prompt import Sampling
from merrflow_serving.weights.checkpoint import parameters_on_meta

torch.set_num_threads(1)


def test_the_same_tokens_with_and_without_a_stop() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**shape("llama3", "small")["model"])
    config._attn_implementation = "sdpa"
    with parameters_on_meta():
        built = LlamaForCausalLM(config)
    model = randomised(built, dtype=torch.float32, device=torch.device("cpu"), seed=3)
    drawn = random.Random(0)
    prompts = [tuple(drawn.choices(range(1024), k=length)) for length in (5, 40, 17)]
    free = frozenset([1024])
    alone = [answer_alone(model, free, prompt, 12) for prompt in prompts]
    assert [len(answer) for answer in alone] == [12, 12, 12]
    stops = frozenset([alone[0][6]])  # one of the answers now ends early
    ended = [answer_alone(model, stops, prompt, 12) for prompt in prompts]
    assert ended[0] == alone[0][: alone[0].index(alone[0][6])]
    for ends, expected in ((free, alone), (stops, ended)):
        greedy = Sampling(temperature=0.0, top_p=1.0, top_k=0, min_p=0.0, repeat_penalty=1.0)
        batching = BatchingModel(model, stops=ends, sampling=greedy, sizes=Sizes(3, 64))
        try:
            together = answer_together(batching, prompts, 12)
        finally:
            batching.close()
        assert together == expected
        assert same(expected, together) == 3
    assert same(alone, [alone[0], (), alone[2]]) == 2
