"""Qwen2-Audio: modules, tokenizer and prompt of the second generation."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer
from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration, Qwen2ForCausalLM

from merrflow_qwen_audio.engines.listening.encoder import Canvas, Encoder
from merrflow_qwen_audio.engines.listening.model import Listener, Question
from merrflow_serving.errors import NotReady
from merrflow_serving.weights.checkpoint import fill, parameters_on_meta, read_tensors

if TYPE_CHECKING:
    from merrflow_qwen_audio.prompt import Prompt

CONFIG_FILE = "config.json"
TOKENS_FILE = "tokenizer.json"
AUDIO_START, AUDIO_END = "<|audio_bos|>", "<|audio_eos|>"
IM_START, IM_END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
CHAT_START = "Audio 1: "  # before the sound, as the published chat template writes it
# The names of the published files; transformers' class nests what it holds once more.
_NAMES = (
    (re.compile(r"language_model\.lm_head\."), "lm_head."),
    (re.compile(r"language_model\.model\."), "model.language_model."),
    (re.compile(r"(audio_tower|multi_modal_projector)\."), r"model.\1."),
)


def rename(key: str) -> str:
    """The module's name of a file's key; the key itself where it is unknown."""
    for pattern, target in _NAMES:
        if pattern.match(key):
            return pattern.sub(target, key, count=1)
    return key


def read_config(folder: Path, attention: str = "sdpa") -> Qwen2AudioConfig:
    """Raises `NotReady` where config.json is missing or is another model's."""
    file = folder / CONFIG_FILE
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise NotReady(f"{file} cannot be read: {error}; it comes with the weights") from error
    except ValueError as error:
        raise NotReady(f"{file} is not JSON: {error}; get it anew") from error
    if not isinstance(content, dict) or content.get("model_type") != "qwen2_audio":
        raise NotReady(f"{file} is not that of Qwen2-Audio; give the folder of Qwen2-Audio-7B-Instruct")
    config = Qwen2AudioConfig.from_dict(content)
    for part in (config, config.audio_config, config.text_config):
        part._attn_implementation = attention
    return config


def without_data(config: Qwen2AudioConfig) -> Qwen2AudioForConditionalGeneration:
    """The modules with their parameters on the meta device, for filling and for counting bytes."""
    with parameters_on_meta():
        return Qwen2AudioForConditionalGeneration(config).eval()


class Qwen2Audio(Listener):
    """A published checkpoint, loaded."""

    def __init__(self, folder: Path, *, device: torch.device, dtype: torch.dtype, attention: str) -> None:
        """folder: config.json, tokenizer.json and the weights. Raises `NotReady` with the files or keys at fault."""
        config = read_config(folder, attention)
        self._tokenizer, self._special = _tokenizer(folder / TOKENS_FILE)
        missing = [
            token for token in (AUDIO_START, AUDIO_END, IM_START, IM_END, END_OF_TEXT) if token not in self._special
        ]
        if missing:
            raise NotReady(f"{folder / TOKENS_FILE} lacks {', '.join(missing)}: it is not that of Qwen2-Audio")
        self.model = without_data(config)
        fill(self.model, read_tensors(folder), rename=rename, dtype=dtype, device=device, origin=str(folder))
        canvas = Canvas(config.audio_config.num_mel_bins, round_up=True, blank=False)
        self.encoder = Encoder(self.model.model.audio_tower, canvas, device)
        self.language = _decoder(self.model)
        self.context = config.text_config.max_position_embeddings
        self.stop = (self._special[IM_END], self._special[END_OF_TEXT])

    def question(self, prompt: Prompt, instruction: str) -> Question:
        """The published chat template with one sound in the user's turn."""
        if prompt.format != "chat":
            raise NotReady(f"the prompt {prompt.name!r} is for a model of task tags; Qwen2-Audio chats")
        start, end = self._special[IM_START], self._special[IM_END]
        encode = self._encode
        before = [start, *encode(f"system\n{prompt.system}"), end, *encode("\n"), start]
        before += [*encode(f"user\n{CHAT_START}"), self._special[AUDIO_START]]
        after = [self._special[AUDIO_END], *encode(f"\n{instruction or prompt.question}"), end]
        after += [*encode("\n"), start, *encode("assistant\n")]
        return Question(tuple(before), tuple(after))

    def project(self, heard: torch.Tensor) -> torch.Tensor:
        return self.model.model.multi_modal_projector(heard)

    def text(self, ids: Sequence[int]) -> str:
        special = set(self._special.values())
        return self._tokenizer.decode([number for number in ids if number not in special], skip_special_tokens=False)

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids


def _tokenizer(file: Path) -> tuple[Tokenizer, dict[str, int]]:
    """The tokenizer for ordinary text, and the ids of the special tokens.

    The special tokens are taken out of the tokenizer, so that text never becomes one, however it is spelled.
    """
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
        special = {str(token["content"]): int(token["id"]) for token in content.get("added_tokens", [])}
        return Tokenizer.from_str(json.dumps(content | {"added_tokens": [], "post_processor": None})), special
    except OSError as error:
        raise NotReady(f"{file} cannot be read: {error}; it comes with the weights") from error
    except Exception as error:  # tokenizers raises plain Exception
        raise NotReady(f"{file} is not a tokenizer: {error}; get it anew") from error


def _decoder(model: Qwen2AudioForConditionalGeneration) -> Qwen2ForCausalLM:
    """The model's own language model and head, as a causal model of its own.

    The whole model's forward turns every prompt token into logits (156,032 numbers each: 4 GB for 16 windows); this
    class asks for the last token's only.
    """
    with parameters_on_meta():
        decoder = Qwen2ForCausalLM(model.config.text_config)
    decoder.model = model.model.language_model
    decoder.lm_head = model.lm_head
    return decoder.eval()
