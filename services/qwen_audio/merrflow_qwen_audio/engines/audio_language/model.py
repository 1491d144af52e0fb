"""The interface of a loaded audio-language model, the same for every checkpoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from merrflow_qwen_audio.engines.audio_language.encoder import Encoder

if TYPE_CHECKING:
    from transformers import Qwen2ForCausalLM

    from merrflow_qwen_audio.arrays import Samples
    from merrflow_qwen_audio.engines.audio_language.prompt_file import Prompt


@dataclass(frozen=True)
class Question:
    """A prompt as token ids, before and after the sound."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.before) + len(self.after)


class AudioLanguageModel(ABC):
    """Encoder, projection, language model and tokenizer, on one device."""

    encoder: Encoder
    language: Qwen2ForCausalLM
    context: int  # tokens of prompt, sound and answer together
    stop: tuple[int, ...]  # token ids; each of them ends an answer

    @abstractmethod
    def question(self, prompt: Prompt, instruction: str) -> Question:
        """The prompt, or a caller's own instruction instead. Text never becomes a special token.

        Raises `InvalidInput` if the model takes no such question.
        """

    @abstractmethod
    def project(self, hidden: torch.Tensor) -> torch.Tensor:
        """(tokens, width of the encoder) -> (span, width of the language model), including the markers at both ends."""

    @abstractmethod
    def text(self, ids: Sequence[int]) -> str:
        """Tokens as text, without special ones but times (`<|19.60|>`); bytes that are not UTF-8 become U+FFFD."""

    def span(self, samples: int) -> int:
        """Tokens that a recording takes in the prompt, without the question around it."""
        return self.encoder.tokens(samples)

    @torch.inference_mode()
    def embed_sounds(self, recordings: Sequence[Samples]) -> list[torch.Tensor]:
        """[(span, width of the language model)]"""
        return [self.project(hidden) for hidden in self.encoder(recordings)]

    @torch.inference_mode()
    def splice(self, question: Question, sound: torch.Tensor) -> torch.Tensor:
        """(tokens, width): the whole prompt as embeddings."""
        embed = self.language.get_input_embeddings()
        ids = torch.tensor([*question.before, *question.after], device=sound.device)
        words = embed(ids)
        return torch.cat((words[: len(question.before)], sound.to(words.dtype), words[len(question.before) :]))
