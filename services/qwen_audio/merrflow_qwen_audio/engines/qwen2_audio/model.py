"""Qwen2-Audio: the modules, tokenizer and prompt of the second generation."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from tokenizers import Tokenizer
from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration, Qwen2ForCausalLM

from merrflow_qwen_audio.engines.audio_language.config_file import CONFIG_FILE, read_config_file
from merrflow_qwen_audio.engines.audio_language.encoder import Canvas, Encoder
from merrflow_qwen_audio.engines.audio_language.model import AudioLanguageModel, Question
from merrflow_qwen_audio.engines.audio_language.timestamps import is_timestamp
from merrflow_serving.errors import NotReady
from merrflow_serving.weights.checkpoint import fill, parameters_on_meta, read_tensors

if TYPE_CHECKING:
    from transformers import Qwen2AudioEncoderConfig, Qwen2Config

    from merrflow_qwen_audio.engines.audio_language.prompt_file import Prompt

TOKENS_FILE = "tokenizer.json"
AUDIO_START, AUDIO_END = "<|audio_bos|>", "<|audio_eos|>"
IM_START, IM_END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
CHAT_START = "Audio 1: "  # before the sound, as the published chat template writes it
# The keys of the published files; transformers' class has one more level of nesting.
_NAMES = (
    (re.compile(r"language_model\.lm_head\."), "lm_head."),
    (re.compile(r"language_model\.model\."), "model.language_model."),
    (re.compile(r"(audio_tower|multi_modal_projector)\."), r"model.\1."),
)


def rename(key: str) -> str:
    """The module's name for a key of the file; the key itself if it is unknown."""
    for pattern, target in _NAMES:
        if pattern.match(key):
            return pattern.sub(target, key, count=1)
    return key


def read_config(folder: Path, attention: str = "sdpa") -> Qwen2AudioConfig:
    """Raises `NotReady` if config.json is missing or is another model's."""
    file = folder / CONFIG_FILE
    content = read_config_file(folder)
    if not isinstance(content, dict) or content.get("model_type") != "qwen2_audio":
        raise NotReady(f"{file} is not that of Qwen2-Audio; give the folder of Qwen2-Audio-7B-Instruct")
    config = Qwen2AudioConfig.from_dict(content, attn_implementation=attention)
    return config


def parts_of(config: Qwen2AudioConfig) -> tuple[Qwen2Config, Qwen2AudioEncoderConfig]:
    """The configurations of language model and tower, which transformers types as dictionaries or nothing too."""
    return cast("Qwen2Config", config.text_config), cast("Qwen2AudioEncoderConfig", config.audio_config)


def without_data(config: Qwen2AudioConfig) -> Qwen2AudioForConditionalGeneration:
    """The modules with their parameters on the meta device, for filling and for counting bytes."""
    with parameters_on_meta():
        model = Qwen2AudioForConditionalGeneration(config)
    model.train(False)
    return model


class Qwen2AudioModel(AudioLanguageModel):
    """A published checkpoint, loaded."""

    def __init__(self, folder: Path, *, device: torch.device, dtype: torch.dtype, attention: str) -> None:
        """folder: config.json, tokenizer.json and the weights. Raises `NotReady` with the files or keys at fault."""
        config = read_config(folder, attention)
        language, tower = parts_of(config)
        self._tokenizer, self._special = _tokenizer(folder / TOKENS_FILE)
        self._names = {number: token for token, number in self._special.items()}
        missing = [
            token for token in (AUDIO_START, AUDIO_END, IM_START, IM_END, END_OF_TEXT) if token not in self._special
        ]
        if missing:
            raise NotReady(f"{folder / TOKENS_FILE} has no {', '.join(missing)}: it is not that of Qwen2-Audio")
        self.model = without_data(config)
        fill(self.model, read_tensors(folder), rename=rename, dtype=dtype, device=device, origin=str(folder))
        canvas = Canvas(tower.num_mel_bins, round_up=True, blank=False)
        self.encoder = Encoder(self.model.model.audio_tower, canvas, device)
        self.language = _decoder(self.model)
        self.context = language.max_position_embeddings
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

    def project(self, hidden: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = self.model.model.multi_modal_projector(hidden)
        return projected

    def text(self, ids: Sequence[int]) -> str:
        parts = []
        for mark, run in itertools.groupby(ids, self._names.get):
            if mark is None:
                parts.append(self._tokenizer.decode(list(run), skip_special_tokens=False))
            elif is_timestamp(mark):
                parts += [mark for _ in run]
        return "".join(parts)

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids


def _tokenizer(file: Path) -> tuple[Tokenizer, dict[str, int]]:
    """The tokenizer for ordinary text, and the ids of the special tokens.

    The special tokens are removed from the tokenizer, so that text never becomes one, however it is spelled.
    """
    try:
        content: dict[str, Any] = json.loads(file.read_bytes())
        special = {str(token["content"]): int(token["id"]) for token in content.get("added_tokens", [])}
        return Tokenizer.from_str(json.dumps(content | {"added_tokens": [], "post_processor": None})), special
    except OSError as error:
        raise NotReady(f"{file} cannot be read: {error}; it comes with the weights") from error
    except Exception as error:  # tokenizers raises plain Exception
        raise NotReady(f"{file} is not a tokenizer: {error}; download it again") from error


def _decoder(model: Qwen2AudioForConditionalGeneration) -> Qwen2ForCausalLM:
    """The model's own language model and head, as a causal model of its own.

    The whole model's forward computes the logits of every prompt token (156,032 numbers each: 4 GB for 16 windows);
    this class computes those of the last token only.
    """
    with parameters_on_meta():
        decoder = Qwen2ForCausalLM(parts_of(model.config)[0])
    decoder.model = model.model.language_model
    decoder.lm_head = model.lm_head
    decoder.train(False)
    return decoder
