"""Models of a tower and a language model: the tower alone, and whole answers about pictures or clips."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from benchmarks.models.rows import Row
from benchmarks.models.setup import Setup
from benchmarks.models.timing import Timed, split_note, timed
from benchmarks.models.work import Decoder, Encoder, bound
from benchmarks.support.answers import same

R = TypeVar("R")
Ids = tuple[int, ...]


def answering_parts(unit: str) -> tuple[tuple[str, str], ...]:
    """What is measured of such a model, each with its unit, in the order of its rows."""
    return (("tower", unit), ("answers", unit), ("answers", "tokens"))


@dataclass(frozen=True)
class Answered:
    """The engine's answers to a batch."""

    answers: list[Ids]
    encoded_at_once: int
    decoded_at_once: int


class Answering(ABC):
    """A built model, and items for it."""

    name: str
    unit: str  # of an item
    parts: tuple[tuple[str, str], ...]
    setup: Setup
    encoder: Encoder
    decoder: Decoder
    prompt: int  # places of a prompt in the language model's context, the item's included

    def __init__(self) -> None:
        self._alone_encoded: Timed[list[torch.Tensor]] | None = None
        self._alone_answered: Timed[list[Ids]] | None = None

    @abstractmethod
    def items(self, count: int) -> list[np.ndarray]:
        """Items as the engine receives them; the first ones are the same for any count."""

    @abstractmethod
    def prepared(self, items: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Items as the tower takes them."""

    @abstractmethod
    def encode(self, prepared: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """The engine's tower and projection, all at once."""

    @abstractmethod
    def answer_alone(self, item: np.ndarray) -> Ids:
        """Tower and transformers' plain `generate` for a single item."""

    @abstractmethod
    def answer(self, items: Sequence[np.ndarray]) -> Answered:
        """The engine on a batch, with at most as many at once as there are items."""

    def rows(self, batch: int) -> list[Row]:
        """Of the tower and of whole answers; see `benchmarks.models.each.Measured`."""
        return [self._tower(batch), *self._answers(batch)]

    def _timed(self, run: Callable[[int], R]) -> Timed[R]:
        return timed(run, seconds=self.setup.seconds, device=self.setup.device)

    def _tower(self, batch: int) -> Row:
        setup, items = self.setup, self.prepared(self.items(max(batch, self.setup.alone)))
        if self._alone_encoded is None:
            self._alone_encoded = self._timed(lambda _: [self.encode([one])[0] for one in items[: setup.alone]])
        found = self._timed(lambda _: self.encode(items[:batch]))
        least = bound([self.encoder.batch(batch)], setup.card)
        return Row(
            self.name,
            "tower",
            batch,
            self.unit,
            rate=batch / found.seconds,
            one_by_one=setup.alone / self._alone_encoded.seconds,
            limit=batch / least.seconds,
            limited_by=least.by,
            at_once=batch,
            rounds=found.rounds,
            items=batch,
            weight_bytes=self.encoder.weight_bytes,
            peak_bytes=found.peak_bytes,
        )

    def _answers(self, batch: int) -> list[Row]:
        setup, items = self.setup, self.items(max(batch, self.setup.alone))
        if self._alone_answered is None:
            self._alone_answered = self._timed(lambda _: [self.answer_alone(item) for item in items[: setup.alone]])
        alone, found = self._alone_answered, self._timed(lambda _: self.answer(items[:batch]))
        answered = found.first
        encoded, rows = answered.encoded_at_once, answered.decoded_at_once
        encoding = bound([self.encoder.batch(encoded)], setup.card)
        passes = [self.decoder.prompts(rows, self.prompt), *self.decoder.steps(rows, self.prompt, setup.tokens)]
        decoding = bound(passes, setup.card)
        # Seconds for one item at the sizes that the engine used.
        each = encoding.seconds / encoded + decoding.seconds / rows
        common = {
            "model": self.name,
            "part": "answers",
            "batch": batch,
            "limited_by": decoding.by if decoding.seconds / rows >= encoding.seconds / encoded else encoding.by,
            "at_once": rows,
            "rounds": found.rounds,
            "weight_bytes": self.encoder.weight_bytes + self.decoder.weight_bytes,
            "cache_bytes": rows * (self.prompt + setup.tokens) * self.decoder.cache_bytes,
            "peak_bytes": found.peak_bytes,
            "identical": same(alone.first, answered.answers),
            "compared": min(setup.alone, batch),
            "note": split_note(batch, rows),
        }
        words = sum(map(len, answered.answers))
        of_items = Row(
            unit=self.unit,
            rate=batch / found.seconds,
            one_by_one=setup.alone / alone.seconds,
            limit=1 / each,
            items=batch,
            **common,
        )
        of_words = Row(
            unit="tokens",
            rate=words / found.seconds,
            one_by_one=sum(map(len, alone.first)) / alone.seconds,
            limit=setup.tokens / each,
            items=words,
            **common,
        )
        return [of_items, of_words]
