"""The `vllm` engine asks who still waits before each round of `LLM.generate`."""

from __future__ import annotations

from types import SimpleNamespace

from merrflow_llama3.engines.language_model import Ask, Question
from merrflow_llama3.engines.vllm import VllmModel
from merrflow_serving.errors import Abandoned
from tests.services.llama3.batching_models import GREEDY


class Llm:
    """Answers each prompt with its own first token."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []

    def generate(self, given, parameters, *, use_tqdm):
        self.rounds.append([prompt["prompt_token_ids"][0] for prompt in given])
        logprobs = [None, {2: SimpleNamespace(logprob=-1.5)}]
        return [
            SimpleNamespace(
                outputs=[SimpleNamespace(token_ids=[first], finish_reason="stop")], prompt_logprobs=logprobs
            )
            for first in self.rounds[-1]
        ]


def test_a_round_has_only_what_is_wanted() -> None:
    llm = Llm()
    model = VllmModel(SimpleNamespace(SamplingParams=lambda **given: given), llm, frozenset({9}), GREEDY)
    asks = [Ask((place,), 0, 5) for place in range(3)]
    found: dict[int, list] = {}

    def finished(place, drawn):
        found.setdefault(place, []).append(drawn)
        return asks[place] if len(found[place]) < 3 and not isinstance(drawn, Abandoned) else None

    model.generate(asks, finished, lambda place: place != 0 and (place != 1 or len(found.get(1, ())) < 2))
    assert llm.rounds == [[1, 2], [1, 2], [2]]
    assert [isinstance(found[place][-1], Abandoned) for place in range(3)] == [True, True, False]
    scores = model.likelihoods([Question((place,), ((2,),)) for place in range(3)], lambda place: place == 2)
    assert [type(one) for one in scores[:2]] == [Abandoned, Abandoned] and scores[2] == (-1.5,)
    assert llm.rounds[-1] == [2]
