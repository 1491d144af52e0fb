"""Llama 3 through the continuous batching engine: prompts, decoding and whole answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.how import How, no_stop
from benchmarks.llama import answer_alone, answer_together, same
from benchmarks.models.each import each_batch
from benchmarks.random_weights import randomised
from benchmarks.rows import Row
from benchmarks.shapes import shape
from benchmarks.timing import Timed, split_note, timed
from benchmarks.work import Decoder, bound
from merrflow_llama3.engines.language_model import Tokens
from merrflow_llama3.engines.transformers.batching import BatchingModel, Sizes
from merrflow_llama3.prompt import Sampling
from merrflow_serving.errors import NotReady, TooLarge
from merrflow_serving.weights.checkpoint import parameters_on_meta

NAME = "llama3"
PARTS = (("prompts", "tokens"), ("decode", "tokens"), ("answers", "tokens"))
# Rounds with one token an answer are numbered from here: their prompts are none of the others'.
_APART = 1_000_000


class Llama3:
    """The model, and prompts for it."""

    def __init__(self, how: How) -> None:
        self.how = how
        about = shape(NAME, how.size)
        config = LlamaConfig(**about["model"])
        config._attn_implementation = how.attention
        with parameters_on_meta():
            model = LlamaForCausalLM(config)
        self.model: Any = randomised(model, dtype=how.dtype, device=how.device, seed=how.seed)
        self.prompt_tokens: int = about["prompt_tokens"]
        self.stops = frozenset([no_stop(config.vocab_size)])
        self.work = Decoder.of(self.model)
        self._alone: tuple[Timed[list[Tokens]], Timed[list[Tokens]]] | None = None

    def prompts(self, count: int, number: int) -> list[Tokens]:
        """Of round `number`: random tokens that no other round has, since the engine keeps prompts' beginnings."""
        drawn = random.Random(f"{self.how.seed}/{number}")
        words = range(self.model.config.vocab_size)
        return [tuple(drawn.choices(words, k=self.prompt_tokens)) for _ in range(count)]

    def one_by_one(self) -> tuple[Timed[list[Tokens]], Timed[list[Tokens]]]:
        """Whole answers, and first tokens alone, by plain `generate`; measured once, before any batching."""
        if self._alone is None:
            how = self.how

            def run(number: int, most: int) -> list[Tokens]:
                return [
                    answer_alone(self.model, self.stops, tokens, most) for tokens in self.prompts(how.alone, number)
                ]

            self._alone = (
                timed(lambda number: run(number, how.tokens), seconds=how.seconds, device=how.device),
                timed(lambda number: run(number, 1), seconds=how.seconds, device=how.device),
            )
        return self._alone

    def rows(self, batch: int) -> list[Row]:
        """Raises `TooLarge` where not one request fits."""
        how = self.how
        alone, alone_first = self.one_by_one()
        try:
            batching = BatchingModel(
                self.model,
                stops=self.stops,
                sampling=Sampling(temperature=0.0, top_p=1.0, top_k=0, min_p=0.0, repeat_penalty=1.0),
                sizes=Sizes(batch, self.prompt_tokens + how.tokens),
            )
        except NotReady as error:
            raise TooLarge(str(error)) from error
        try:
            whole = timed(
                lambda number: answer_together(batching, self.prompts(batch, number), how.tokens),
                seconds=how.seconds,
                device=how.device,
            )
            first = timed(
                lambda number: answer_together(batching, self.prompts(batch, _APART + number), 1),
                seconds=how.seconds,
                device=how.device,
            )
            at_once = batching.plan.requests
        finally:
            batching.close()
        counted = sum(map(len, whole.first))
        told = {
            "model": NAME,
            "batch": batch,
            "unit": "tokens",
            "at_once": at_once,
            "weight_bytes": self.work.weight_bytes,
            "cache_bytes": batch * (self.prompt_tokens + how.tokens) * self.work.cache_bytes,
            "peak_bytes": max(whole.peak_bytes, first.peak_bytes),
            "note": split_note(batch, at_once),
        }
        reading = [self.work.prompts(at_once, self.prompt_tokens)]
        writing = self.work.steps(at_once, self.prompt_tokens, how.tokens)
        read, written = bound(reading, how.card), bound(writing, how.card)
        both = bound([*reading, *writing], how.card)
        decoded = counted - batch  # the first token of each answer comes out of its prompt
        return [
            Row(
                part="prompts",
                rate=batch * self.prompt_tokens / first.seconds,
                one_by_one=how.alone * self.prompt_tokens / alone_first.seconds,
                limit=at_once * self.prompt_tokens / read.seconds,
                limited_by=read.by,
                rounds=first.rounds,
                items=batch * self.prompt_tokens,
                **told,
            ),
            _decode(
                Row(
                    part="decode",
                    limit=at_once * (how.tokens - 1) / written.seconds,
                    limited_by=written.by,
                    rounds=whole.rounds,
                    items=decoded,
                    **told,
                ),
                whole.seconds - first.seconds,
                (sum(map(len, alone.first)) - how.alone, alone.seconds - alone_first.seconds),
            ),
            Row(
                part="answers",
                rate=counted / whole.seconds,
                one_by_one=sum(map(len, alone.first)) / alone.seconds,
                limit=at_once * how.tokens / both.seconds,
                limited_by=both.by,
                rounds=whole.rounds,
                items=counted,
                identical=same(alone.first, whole.first),
                compared=min(how.alone, batch),
                **told,
            ),
        ]


def _decode(row: Row, seconds: float, alone: tuple[int, float]) -> Row:
    """With its rates: whole answers' time less that of their prompts. `alone`: tokens and seconds one by one."""
    if seconds <= 0:
        return replace(row, note=row.note or "answers too short to be told from their prompts")
    return replace(row, rate=row.items / seconds, one_by_one=alone[0] / alone[1] if alone[1] > 0 else None)


def measure(how: How) -> Iterator[list[Row]]:
    """Rows of each batch size; see `each_batch`."""
    return each_batch(NAME, PARTS, lambda: Llama3(how), how.batches)
