"""Qwen-Audio and Qwen-Audio-Chat: the prompts, modules and tokenizer of the first generation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from merrflow_qwen_audio.engines.audio_language.config_file import CONFIG_FILE
from merrflow_qwen_audio.engines.audio_language.encoder import Canvas, Encoder
from merrflow_qwen_audio.engines.audio_language.model import AudioLanguageModel, Question
from merrflow_qwen_audio.engines.qwen_audio.checkpoint_keys import UnfusedTensors, check, rename
from merrflow_qwen_audio.engines.qwen_audio.config import read_shape
from merrflow_qwen_audio.engines.qwen_audio.modules import without_data
from merrflow_qwen_audio.engines.qwen_audio.special_tokens import END_OF_TEXT, IM_END, IM_START
from merrflow_qwen_audio.engines.qwen_audio.tokenizer import FILE as TOKENS_FILE
from merrflow_qwen_audio.engines.qwen_audio.tokenizer import QwenTokenizer
from merrflow_serving.errors import InvalidInput, NotReady
from merrflow_serving.weights.checkpoint import fill, read_tensors

if TYPE_CHECKING:
    from merrflow_qwen_audio.engines.audio_language.prompt_file import Prompt

CHAT_START = "Audio 1:"  # before the sound, as the authors' `from_list_format` writes it


class QwenAudioModel(AudioLanguageModel):
    """An original checkpoint, loaded."""

    def __init__(self, folder: Path, *, chat: bool, device: torch.device, dtype: torch.dtype, attention: str) -> None:
        """folder: config.json, qwen.tiktoken and the weights. chat: Qwen-Audio-Chat, otherwise Qwen-Audio.

        Raises `NotReady` with the files or keys at fault.
        """
        shape = read_shape(folder)
        self.tokenizer = QwenTokenizer(folder / TOKENS_FILE)
        starts = self.tokenizer.special["<audio>"]
        if starts != shape.audio_start:
            raise NotReady(
                f"{folder / TOKENS_FILE} gives <audio> the id {starts}, {CONFIG_FILE} {shape.audio_start}: they are "
                "not of one checkpoint; download both again"
            )
        self.parts = without_data(shape, attention)
        tensors = read_tensors(folder)
        check(self.parts.state_dict(), tensors, str(folder))
        fill(self.parts, UnfusedTensors(tensors), rename=rename, dtype=dtype, device=device, origin=str(folder))
        self.encoder = Encoder(self.parts.tower, Canvas(shape.mel_bins, round_up=False, blank=True), device)
        self.language = self.parts.language
        self.context = shape.context
        ends = (END_OF_TEXT, IM_START, IM_END) if chat else (END_OF_TEXT,)
        self.stop = tuple(self.tokenizer.special[token] for token in ends)
        self._chat = chat

    def question(self, prompt: Prompt, instruction: str) -> Question:
        """ChatML for Qwen-Audio-Chat, task tags for Qwen-Audio, in the published forms."""
        wanted = "chat" if self._chat else "tags"
        if prompt.format != wanted:
            raise NotReady(
                f"the prompt {prompt.name!r} is of the form {prompt.format!r}; Qwen-Audio{'-Chat' * self._chat} takes "
                f"{wanted!r}"
            )
        if not self._chat:
            if instruction:
                raise InvalidInput("Qwen-Audio without Chat takes no instruction; send none, or set the variant `chat`")
            return Question((), tuple(self._special(tag) for tag in prompt.tags))
        encode, special = self.tokenizer.encode, self.tokenizer.special
        start, end, line = special[IM_START], special[IM_END], encode("\n")
        before = [start, *encode("system"), *line, *encode(prompt.system), end, *line]
        before += [start, *encode("user"), *line, *encode(CHAT_START)]
        after = [*encode(f"\n{instruction or prompt.question}"), end, *line, start, *encode("assistant"), *line]
        return Question(tuple(before), tuple(after))

    def span(self, samples: int) -> int:
        """The tokens of the sound and the markers at its ends."""
        return super().span(samples) + 2

    def project(self, hidden: torch.Tensor) -> torch.Tensor:
        """The markers take the places of `<audio>` and `</audio>` in the prompt."""
        first, last = self.parts.ends.weight
        return torch.cat((first[None], self.parts.proj(hidden), last[None]))

    def text(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids)

    def _special(self, token: str) -> int:
        try:
            return self.tokenizer.special[token]
        except KeyError:
            raise NotReady(f"the prompt's tag {token!r} is not a special token of Qwen-Audio") from None
