"""A loaded model that hears: what the engine asks of it, whatever the checkpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from merrflow_qwen_audio.engines.listening.encoder import Encoder

if TYPE_CHECKING:
    import numpy as np
    from transformers import GenerationMixin

    from merrflow_qwen_audio.prompt import Prompt


@dataclass(frozen=True)
class Question:
    """A prompt as token ids; the sound stands between the two."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.before) + len(self.after)


class Listener(ABC):
    """Encoder, projection, language model and tokenizer, on one device."""

    encoder: Encoder
    language: GenerationMixin
    context: int  # tokens of prompt, sound and answer together
    stop: tuple[int, ...]  # token ids, one of which ends an answer

    @abstractmethod
    def question(self, prompt: Prompt, instruction: str) -> Question:
        """The prompt, or a caller's own instruction in its place. Whatever the words hold, they stay words.

        Raises `InvalidInput` where the model cannot be asked this.
        """

    @abstractmethod
    def project(self, heard: torch.Tensor) -> torch.Tensor:
        """(tokens, width of the encoder) -> (span, width of the language model), with what marks both ends."""

    @abstractmethod
    def text(self, ids: Sequence[int]) -> str:
        """Written tokens as text, special ones left out; bytes that are no UTF-8 become U+FFFD."""

    def span(self, samples: int) -> int:
        """Tokens that a recording takes in the prompt, without what `question` puts around it."""
        return self.encoder.tokens(samples)

    @torch.inference_mode()
    def hear(self, recordings: Sequence[np.ndarray]) -> list[torch.Tensor]:
        """[(span, width of the language model)]"""
        return [self.project(heard) for heard in self.encoder(recordings)]

    @torch.inference_mode()
    def splice(self, question: Question, heard: torch.Tensor) -> torch.Tensor:
        """(tokens, width): the whole prompt as embeddings."""
        embed = self.language.get_input_embeddings()
        ids = torch.tensor([*question.before, *question.after], device=heard.device)
        words = embed(ids)
        return torch.cat((words[: len(question.before)], heard.to(words.dtype), words[len(question.before) :]))
