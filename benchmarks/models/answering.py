"""Models of a tower and a language model: the tower alone, and whole answers on pictures or clips."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from benchmarks.how import How
from benchmarks.llama import same
from benchmarks.rows import Row
from benchmarks.timing import Timed, split_note, timed
from benchmarks.work import Decoder, Encoder, bound

R = TypeVar("R")
Ids = tuple[int, ...]


@dataclass(frozen=True)
class Told:
    """What the engine answered to a batch."""

    answers: list[Ids]
    encoded_at_once: int
    decoded_at_once: int


class Answering(ABC):
    """A built model, and items for it."""

    name: str
    unit: str  # of an item
    how: How
    encoder: Encoder
    decoder: Decoder
    prompt: int  # places of a prompt in the language model's context, the item's included

    def __init__(self) -> None:
        self._alone_encoded: Timed[list[torch.Tensor]] | None = None
        self._alone_answered: Timed[list[Ids]] | None = None

    @abstractmethod
    def items(self, count: int) -> list[np.ndarray]:
        """As the engine gets them; the first ones are the same for any count."""

    @abstractmethod
    def prepared(self, items: Sequence[np.ndarray]) -> list[np.ndarray]:
        """As the tower takes them."""

    @abstractmethod
    def encode(self, prepared: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """The engine's tower and projection, all at once."""

    @abstractmethod
    def answer_alone(self, item: np.ndarray) -> Ids:
        """Tower and transformers' plain `generate` for a single item."""

    @abstractmethod
    def answer(self, items: Sequence[np.ndarray]) -> Told:
        """The engine's way through a batch, with at most as many at once as there are items."""

    def rows(self, batch: int) -> list[Row]:
        """Of the tower and of whole answers; see `benchmarks.models.each.Measured`."""
        return [self._tower(batch), *self._answers(batch)]

    def _timed(self, run: Callable[[int], R]) -> Timed[R]:
        return timed(run, seconds=self.how.seconds, device=self.how.device)

    def _tower(self, batch: int) -> Row:
        how, items = self.how, self.prepared(self.items(max(batch, self.how.alone)))
        if self._alone_encoded is None:
            self._alone_encoded = self._timed(lambda _: [self.encode([one])[0] for one in items[: how.alone]])
        found = self._timed(lambda _: self.encode(items[:batch]))
        least = bound([self.encoder.batch(batch)], how.card)
        return Row(
            self.name,
            "tower",
            batch,
            self.unit,
            rate=batch / found.seconds,
            one_by_one=how.alone / self._alone_encoded.seconds,
            limit=batch / least.seconds,
            limited_by=least.by,
            at_once=batch,
            rounds=found.rounds,
            items=batch,
            weight_bytes=self.encoder.weight_bytes,
            peak_bytes=found.peak_bytes,
        )

    def _answers(self, batch: int) -> list[Row]:
        how, items = self.how, self.items(max(batch, self.how.alone))
        if self._alone_answered is None:
            self._alone_answered = self._timed(lambda _: [self.answer_alone(item) for item in items[: how.alone]])
        alone, found = self._alone_answered, self._timed(lambda _: self.answer(items[:batch]))
        told = found.first
        encoded, rows = told.encoded_at_once, told.decoded_at_once
        encoding = bound([self.encoder.batch(encoded)], how.card)
        passes = [self.decoder.prompts(rows, self.prompt), *self.decoder.steps(rows, self.prompt, how.tokens)]
        decoding = bound(passes, how.card)
        # Seconds for one item at the sizes that the engine took, whatever the batch.
        each = encoding.seconds / encoded + decoding.seconds / rows
        common = {
            "model": self.name,
            "part": "answers",
            "batch": batch,
            "limited_by": decoding.by if decoding.seconds / rows >= encoding.seconds / encoded else encoding.by,
            "at_once": rows,
            "rounds": found.rounds,
            "weight_bytes": self.encoder.weight_bytes + self.decoder.weight_bytes,
            "cache_bytes": rows * (self.prompt + how.tokens) * self.decoder.cache_bytes,
            "peak_bytes": found.peak_bytes,
            "identical": same(alone.first, told.answers),
            "compared": min(how.alone, batch),
            "note": split_note(batch, rows),
        }
        words = sum(map(len, told.answers))
        of_items = Row(
            unit=self.unit,
            rate=batch / found.seconds,
            one_by_one=how.alone / alone.seconds,
            limit=1 / each,
            items=batch,
            **common,
        )
        of_words = Row(
            unit="tokens",
            rate=words / found.seconds,
            one_by_one=sum(map(len, alone.first)) / alone.seconds,
            limit=how.tokens / each,
            items=words,
            **common,
        )
        return [of_items, of_words]
