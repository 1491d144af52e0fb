"""Llama 3 through the continuous batching engine: prompts, decoding and whole answers."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.models.random_weights import randomised
from benchmarks.models.rows import Row
from benchmarks.models.setup import Setup, no_stop
from benchmarks.models.shapes import shape
from benchmarks.models.timing import Timed, split_note, timed
from benchmarks.models.work import Decoder, bound
from benchmarks.support.answers import answer_alone, answer_together, same
from merrflow_llama3.engines.language_model import Tokens
from merrflow_llama3.engines.transformers.batching import BatchingModel, Sizes
from merrflow_llama3.prompt import Sampling
from merrflow_serving.errors import NotReady, TooLarge
from merrflow_serving.weights.checkpoint import parameters_on_meta

# Rounds with one token an answer are numbered from here, so that they share no prompt with the others.
_APART = 1_000_000


class Llama3:
    """The model, and prompts for it."""

    name = "llama3"
    parts = (("prompts", "tokens"), ("decode", "tokens"), ("answers", "tokens"))

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        about = shape(self.name, setup.size)
        config = LlamaConfig(**about["model"])
        config._attn_implementation = setup.attention
        with parameters_on_meta():
            model = LlamaForCausalLM(config)
        self.model: Any = randomised(model, dtype=setup.dtype, device=setup.device, seed=setup.seed)
        self.prompt_tokens: int = about["prompt_tokens"]
        self.stops = frozenset([no_stop(config.vocab_size)])
        self.work = Decoder.of(self.model)
        self._alone: tuple[Timed[list[Tokens]], Timed[list[Tokens]]] | None = None

    def prompts(self, count: int, number: int) -> list[Tokens]:
        """Prompts of round `number`: random tokens of no other round, because the engine caches how prompts begin."""
        drawn = random.Random(f"{self.setup.seed}/{number}")
        words = range(self.model.config.vocab_size)
        return [tuple(drawn.choices(words, k=self.prompt_tokens)) for _ in range(count)]

    def one_by_one(self) -> tuple[Timed[list[Tokens]], Timed[list[Tokens]]]:
        """Whole answers, and first tokens alone, by plain `generate`; measured once, before any batching."""
        if self._alone is None:
            setup = self.setup

            def run(number: int, most: int) -> list[Tokens]:
                return [
                    answer_alone(self.model, self.stops, tokens, most) for tokens in self.prompts(setup.alone, number)
                ]

            self._alone = (
                timed(lambda number: run(number, setup.tokens), seconds=setup.seconds, device=setup.device),
                timed(lambda number: run(number, 1), seconds=setup.seconds, device=setup.device),
            )
        return self._alone

    def rows(self, batch: int) -> list[Row]:
        """Raises `TooLarge` if not one request fits."""
        setup = self.setup
        alone, alone_first = self.one_by_one()
        try:
            batching = BatchingModel(
                self.model,
                stops=self.stops,
                sampling=Sampling(temperature=0.0, top_p=1.0, top_k=0, min_p=0.0, repeat_penalty=1.0),
                sizes=Sizes(batch, self.prompt_tokens + setup.tokens),
            )
        except NotReady as error:
            raise TooLarge(str(error)) from error
        try:
            whole = timed(
                lambda number: answer_together(batching, self.prompts(batch, number), setup.tokens),
                seconds=setup.seconds,
                device=setup.device,
            )
            first = timed(
                lambda number: answer_together(batching, self.prompts(batch, _APART + number), 1),
                seconds=setup.seconds,
                device=setup.device,
            )
            at_once = batching.plan.requests
        finally:
            batching.close()
        counted = sum(map(len, whole.first))
        common = {
            "model": self.name,
            "batch": batch,
            "unit": "tokens",
            "at_once": at_once,
            "weight_bytes": self.work.weight_bytes,
            "cache_bytes": batch * (self.prompt_tokens + setup.tokens) * self.work.cache_bytes,
            "peak_bytes": max(whole.peak_bytes, first.peak_bytes),
            "note": split_note(batch, at_once),
        }
        reading = [self.work.prompts(at_once, self.prompt_tokens)]
        writing = self.work.steps(at_once, self.prompt_tokens, setup.tokens)
        read, written = bound(reading, setup.card), bound(writing, setup.card)
        both = bound([*reading, *writing], setup.card)
        decoded = counted - batch  # the first token of each answer comes out of its prompt
        return [
            Row(
                part="prompts",
                rate=batch * self.prompt_tokens / first.seconds,
                one_by_one=setup.alone * self.prompt_tokens / alone_first.seconds,
                limit=at_once * self.prompt_tokens / read.seconds,
                limited_by=read.by,
                rounds=first.rounds,
                items=batch * self.prompt_tokens,
                **common,
            ),
            _decode(
                Row(
                    part="decode",
                    limit=at_once * (setup.tokens - 1) / written.seconds,
                    limited_by=written.by,
                    rounds=whole.rounds,
                    items=decoded,
                    **common,
                ),
                whole.seconds - first.seconds,
                (sum(map(len, alone.first)) - setup.alone, alone.seconds - alone_first.seconds),
            ),
            Row(
                part="answers",
                rate=counted / whole.seconds,
                one_by_one=sum(map(len, alone.first)) / alone.seconds,
                limit=at_once * setup.tokens / both.seconds,
                limited_by=both.by,
                rounds=whole.rounds,
                items=counted,
                identical=same(alone.first, whole.first),
                compared=min(setup.alone, batch),
                **common,
            ),
        ]


def _decode(row: Row, seconds: float, alone: tuple[int, float]) -> Row:
    """The row with its rates. seconds: of answers minus those of prompts. alone: tokens and seconds one by one."""
    if seconds <= 0:
        return replace(row, note=row.note or "answers too short to be told apart from their prompts")
    return replace(row, rate=row.items / seconds, one_by_one=alone[0] / alone[1] if alone[1] > 0 else None)
