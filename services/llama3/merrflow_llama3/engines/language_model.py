"""What an engine that answers many clips at once needs from its model: tokens in, tokens and likelihoods out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from merrflow_serving.engine import Wanted, always
from merrflow_serving.errors import MerrflowError

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Ask:
    """A prompt to answer. The same `tokens` and `seed` give the same answer, whatever else is asked with them."""

    tokens: Tokens
    seed: int | None  # 0 to 2**32 - 1; not used if sampling is off (temperature 0). None: always the likeliest token
    answer_tokens: int  # the longest answer


@dataclass(frozen=True)
class Drawn:
    """An answer."""

    tokens: Tokens  # without the one that ended it
    cut: bool  # it reached `answer_tokens` before its end


@dataclass(frozen=True)
class Question:
    """A prompt and the answers whose likelihoods are wanted."""

    tokens: Tokens
    answers: tuple[Tokens, ...]  # one or more tokens each

    @property
    def longest(self) -> int:
        """Tokens of the prompt with its longest answer."""
        return len(self.tokens) + max(map(len, self.answers))


# Called with each answer as soon as it is there, and with its ask's index; returns what to ask next in that place, or
# None.
Finished = Callable[[int, Drawn | MerrflowError], Ask | None]


class LanguageModel(Protocol):
    """A loaded model. One thread calls it."""

    def generate(self, asks: Sequence[Ask], finished: Finished, wanted: Wanted = always) -> None:
        """Answers all, many at a time, until `finished` asks for nothing more. An ask whose index is not `wanted` any
        more ends with `Abandoned`, after the next token if the engine can."""

    def likelihoods(
        self, questions: Sequence[Question], wanted: Wanted = always
    ) -> list[tuple[float, ...] | MerrflowError]:
        """For each question the natural log-likelihood of each answer: the sum over its tokens, before any sampling.
        `Abandoned` if it is not `wanted` before its pass begins."""
        ...

    def close(self) -> None:
        """Frees the memory."""
