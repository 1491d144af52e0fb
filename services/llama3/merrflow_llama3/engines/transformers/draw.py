"""The next token of each answer, drawn by a seed of its own inside a batch that many share.

transformers' continuous batching draws all tokens of a step from one generator, so an answer would depend on the rest
of its batch. Here sampling is a logits processor: it gets one number per answer and step, hashed from the answer's seed
and the position, picks the token, and leaves only that one to the argmax that follows. Sums are of integers, which are
the same in whatever order a device adds them.

The order is that of Llama 3's own code (meta-llama/llama3, llama/generation.py): temperature, then top-p over the
tempered probabilities; top-k before and min-p after it, as in transformers and vLLM.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from transformers import LogitsProcessorList
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
)

from merrflow_llama3.prompt import Sampling

_BITS = 31  # of a share of probability, and of a draw: as many as a positive int32 has
_ONE = 1 << _BITS
_LIKELIEST, _END = -1, -2  # in place of a draw


def draw_number(seed: int, position: int) -> int:
    """The draw for the token at `position` (tokens before it, prompt and all): uniform over 0 to 2**31 - 1."""
    digest = hashlib.blake2b(f"{seed}/{position}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1


def choose(scores: torch.Tensor, draws: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """The chosen token of each row.

    `scores`: logits, float32, rows x vocabulary. `draws`: int32, one a row; a negative one picks the likeliest token.
    A token below 2**-32 of all probability is never drawn.
    """
    tempered = scores / sampling.temperature
    if sampling.top_k > 0:
        lowest = tempered.topk(min(sampling.top_k, tempered.shape[-1]), dim=-1).values[:, -1:]
        tempered = tempered.masked_fill(tempered < lowest, -torch.inf)
    shares = (tempered.softmax(-1) * _ONE).round_().to(torch.int64)
    if sampling.top_p < 1.0:
        shares = _nucleus(shares, sampling.top_p)
    if sampling.min_p > 0.0:
        shares = shares * (shares >= shares.amax(-1, keepdim=True) * sampling.min_p)
    sums = shares.cumsum(-1)
    aims = (sums[:, -1:] * draws.unsqueeze(-1).to(torch.int64)) >> _BITS  # 0 to the sum, itself excluded
    drawn = torch.searchsorted(sums, aims, right=True).squeeze(-1)
    return torch.where(draws < 0, scores.argmax(-1), drawn)


def _nucleus(shares: torch.Tensor, top_p: float) -> torch.Tensor:
    """The shares of the fewest likeliest tokens that make up `top_p` of all; equal ones stay or go together.

    The lowest share kept is found by halving: a step costs one sum, and a vocabulary of 128,256 is never sorted.
    """
    needed = (shares.sum(-1, keepdim=True) * top_p).ceil().to(torch.int64)
    low = torch.zeros_like(needed)  # the shares at or above it are enough
    high = shares.amax(-1, keepdim=True) + 1  # no share is at or above it
    for _ in range(_BITS + 1):
        middle = (low + high) >> 1
        enough = (shares * (shares >= middle)).sum(-1, keepdim=True) >= needed
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
    return shares * (shares >= low)


class SeededDraw(ContinuousBatchingLogitsProcessor):
    """`choose` inside transformers' continuous batching. A request without `seed` gets the likeliest tokens, and one
    that is not wanted any more its end, so that it leaves the batch with this step.

    transformers can cancel a request too. With two steps in flight, that frees memory in which the second still writes.
    """

    supported_kwargs = {"seed": int}
    ignored_kwargs = ()

    def __init__(self, sampling: Sampling, stop: int) -> None:
        """stop: a token that ends an answer."""
        self._sampling = sampling
        self._stop = stop
        self._is_wanted: dict[str, Callable[[], bool]] = {}  # of the requests at work, by id

    def expect(self, request: str, is_wanted: Callable[[], bool]) -> None:
        """A request that is about to be added."""
        self._is_wanted[request] = is_wanted

    def forget(self, requests: Iterable[str]) -> None:
        """Requests that are finished."""
        for request in requests:
            self._is_wanted.pop(request, None)

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        """Rows without a request take the likeliest token."""
        int32_tensor.fill_(_LIKELIEST)

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> torch.Tensor:
        """The draws of the requests that get a token in this step."""
        return torch.tensor([self._draw(request.state) for request in requests_with_new_token], dtype=torch.int32)

    def _draw(self, state: Any) -> int:
        is_wanted = self._is_wanted.get(state.request_id)
        if is_wanted is not None and not is_wanted():
            return _END
        seed = state.logit_processor_kwargs.get("seed", -1)
        return _LIKELIEST if seed < 0 else draw_number(seed, state.position_offset)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        """Scores in which the chosen token of each row is the highest."""
        draws = tensor_arg[: scores.shape[0]]
        chosen = choose(scores, draws, self._sampling) if self._sampling.temperature > 0 else scores.argmax(-1)
        chosen = chosen.masked_fill(draws == _END, self._stop)
        return torch.full_like(scores, -torch.inf).scatter_(-1, chosen.unsqueeze(-1), 0.0)


class SeededDraws(ContinuousBatchingLogitsProcessorList):
    """A `SeededDraw` in the list that a continuous batching manager takes."""

    def __init__(self, draw: SeededDraw) -> None:
        super().__init__(LogitsProcessorList([draw]))
        self.tensors_required = 1  # one number for each answer
