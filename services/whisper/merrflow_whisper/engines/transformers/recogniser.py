"""What every kind of model does: takes recordings, as windows of speech, and returns what is said in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from merrflow_serving.errors import NotReady
from merrflow_whisper.engines.speech import Span, Speech
from merrflow_whisper.types import SAMPLE_RATE, Samples


@dataclass(frozen=True, eq=False)
class Recording:
    """Speech that is to be written down."""

    speech: Speech
    language: str = ""  # given by the caller; empty: the model finds out
    is_wanted: Callable[[], bool] = field(default=lambda: True)


@dataclass(frozen=True)
class Piece:
    """A stretch of speech and its text. Times are seconds of the joined samples."""

    start: float
    end: float
    text: str
    log_probability: float  # average of the tokens, natural logarithm
    no_speech: float | None = None


@dataclass(frozen=True)
class Said:
    """What is said in one recording."""

    pieces: tuple[Piece, ...]
    language: str = ""
    probability: float = 0.0  # of the language
    is_known: bool = True  # the language was not guessed by the model


class Recogniser(Protocol):
    """A loaded model."""

    @property
    def languages(self) -> frozenset[str] | None:
        """Those that a caller may name; None if the model does not say."""

    def __call__(self, recordings: Sequence[Recording]) -> list[Said]:
        """What is said in each, in order; the same whatever else is in the batch."""
        ...


def part(samples: Samples, span: Span) -> Samples:
    """The samples of a window."""
    return samples[span[0] : span[1]]


def seconds(samples: int) -> float:
    """Samples as seconds."""
    return samples / SAMPLE_RATE


def open_part(kind: Any, folder: Path, what: str) -> Any:
    """A tokenizer or feature extractor from the model's folder. Raises `NotReady` that says which could not be read."""
    try:
        return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # many kinds, the tokenizers' library plain Exception among them
        raise NotReady(
            f"{folder} has no {what} that can be read ({error}); get the folder again", reason="MODEL_UNREADABLE"
        ) from error


class StopRows:
    """A stopping criterion of `generate`: ends a row at its own length, or if nobody waits for it."""

    def __init__(self, prompt: int, limits: Sequence[int], wanted: Sequence[Callable[[], bool]]) -> None:
        """prompt: tokens before the text. limits: of each row, the tokens of its text."""
        self._prompt, self._limits, self._wanted = prompt, limits, wanted

    def __call__(self, input_ids: torch.Tensor, scores: Any, **given: Any) -> torch.Tensor:
        """(rows * beams,) True where a row is to end: all its beams at once."""
        written = input_ids.shape[1] - self._prompt
        ends = [written >= limit or not wanted() for limit, wanted in zip(self._limits, self._wanted, strict=True)]
        beams = input_ids.shape[0] // len(ends)
        return torch.tensor(ends, device=input_ids.device).repeat_interleave(beams)
