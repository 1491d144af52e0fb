"""Decoding of prompts with sound: rows of embeddings of different lengths in one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from merrflow_serving.torch.decoding import GREEDY, Decoding
from merrflow_serving.torch.padding import left_padded
from merrflow_serving.torch.sampling import choosing
from merrflow_serving.torch.stopping import UntilUnwanted

if TYPE_CHECKING:
    from transformers import Qwen2ForCausalLM


@dataclass(frozen=True)
class Answer:
    """What a model wrote, as token ids without the stop token."""

    ids: tuple[int, ...]
    truncated: bool  # cut by the limit, before the model ended it


@dataclass(frozen=True)
class Draw:
    """How a row's words are chosen."""

    seed: int = 0
    prompt: tuple[int, ...] = ()  # its ids, without the sound: a penalty on repetitions counts them too


@torch.inference_mode()
def decode(
    language: Qwen2ForCausalLM,
    rows: Sequence[torch.Tensor],
    *,
    stop: Sequence[int],
    answer_tokens: int,
    least_tokens: int = 0,
    wanted: Sequence[Callable[[], bool]] = (),
    decoding: Decoding = GREEDY,
    draws: Sequence[Draw] = (),
) -> list[Answer]:
    """Decodes all rows at once; each ends at a token of `stop`, and has its own random numbers.

    rows: prompts [(tokens, width)]. Positions count from each row's own start, so padding does not shift them.
    least_tokens: no row ends before; for warming up. wanted: of each row, asked after each token; once False, it ends.
    draws: for each row; needed unless `decoding` is greedy.
    """
    from transformers import GenerationConfig

    embeddings, mask = left_padded(rows)
    untyped = cast(Any, language)  # the types of `generate` and `GenerationConfig` do not fit their own classes
    written = untyped.generate(
        inputs_embeds=embeddings,
        attention_mask=mask,
        generation_config=cast(Any, GenerationConfig)(
            do_sample=False,  # `choosing` has drawn already
            num_beams=1,
            max_new_tokens=answer_tokens,
            min_new_tokens=least_tokens or None,
            eos_token_id=list(stop),
            pad_token_id=stop[0],
            use_cache=True,
        ),
        logits_processor=choosing(decoding, [one.seed for one in draws], [one.prompt for one in draws]),
        stopping_criteria=[UntilUnwanted(wanted)] if wanted else [],
    )
    return [_answer(row, stop) for row in written.tolist()]


def _answer(ids: Sequence[int], stop: Sequence[int]) -> Answer:
    """The tokens up to the first stop token; padding follows it."""
    end = next((index for index, token in enumerate(ids) if token in stop), None)
    return Answer(tuple(ids[:end]), end is None)
