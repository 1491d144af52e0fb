"""Answers of the language model: the picture's tokens are spliced into the prompt, and many rows decoded at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import GenerationConfig, LlamaForCausalLM

from merrflow_minigpt_v2.engines.minigpt_v2.tokenizer import PromptIds
from merrflow_serving.torch.decoding import Decoding
from merrflow_serving.torch.padding import left_padded
from merrflow_serving.torch.sampling import choosing
from merrflow_serving.torch.stopping import UntilUnwanted


@dataclass(frozen=True, eq=False)
class Question:
    """One row: a picture and the prompt about it."""

    picture: torch.Tensor  # (image tokens, width), from `VisionEncoder.encode`
    ids: PromptIds
    seed: int = 0  # for sampling
    is_wanted: Callable[[], bool] = lambda: True  # asked after each token; once False, the row ends

    def __len__(self) -> int:
        """Tokens of the context."""
        return len(self.ids) + len(self.picture)


@dataclass(frozen=True)
class Reply:
    """The answer of one row."""

    ids: tuple[int, ...]  # without the stop token
    whole: bool  # False: the token limit came before a stop


class AnswerGenerator:
    """Greedy or sampled decoding, batched. A row's answer does not depend on the other rows."""

    def __init__(self, model: LlamaForCausalLM, decoding: Decoding, stops: Sequence[int], answer_tokens: int) -> None:
        self.model = model
        self._decoding = decoding
        self._stops = frozenset(stops)
        self._config = cast(Any, GenerationConfig)(  # its constructor has no types
            max_new_tokens=answer_tokens,
            min_new_tokens=1,  # as published; an empty description is of no use
            do_sample=False,  # `SeededNucleus` has drawn already
            eos_token_id=list(stops),
            pad_token_id=next(iter(stops)),
            use_cache=True,
        )

    @torch.inference_mode()
    def splice(self, question: Question) -> torch.Tensor:
        """(tokens, width) embeddings in the model's dtype: prompt, picture, prompt."""
        embed = self.model.get_input_embeddings()
        before, after = (
            embed(torch.tensor(ids, dtype=torch.long, device=self.model.device))
            for ids in (question.ids.before, question.ids.after)
        )
        return torch.cat([before, question.picture.to(before), after])

    @torch.inference_mode()
    def inputs(self, questions: Sequence[Question]) -> dict[str, Any]:
        """Arguments of `generate`: rows padded on the left, so that all answers start at the same position."""
        embeds, mask = left_padded([self.splice(question) for question in questions])
        return {
            "inputs_embeds": embeds,
            "attention_mask": mask,
            "generation_config": self._config,
            "logits_processor": choosing(self._decoding, [question.seed for question in questions]),
            "stopping_criteria": [UntilUnwanted([question.is_wanted for question in questions])],
        }

    @torch.inference_mode()
    def answer(self, questions: Sequence[Question]) -> list[Reply]:
        """One reply per row, in order."""
        return self._generate(self.inputs(questions)) if questions else []

    @torch.inference_mode()
    def rehearse(self, questions: Sequence[Question]) -> list[Reply]:
        """As `answer`, with two tokens each: one from the prompt, one from the cache."""
        return self._generate({**self.inputs(questions), "max_new_tokens": 2, "min_new_tokens": 2})

    def _generate(self, arguments: dict[str, Any]) -> list[Reply]:
        written = cast("torch.Tensor", cast(Any, self.model).generate(**arguments))  # its types know no Llama
        return [self._reply(row) for row in written.tolist()]

    def _reply(self, ids: Sequence[int]) -> Reply:
        for position, token in enumerate(ids):
            if token in self._stops:
                return Reply(tuple(ids[:position]), True)
        return Reply(tuple(ids), False)
