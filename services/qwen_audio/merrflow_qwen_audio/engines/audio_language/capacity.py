"""How many windows fit a device at once, and a warm-up that proves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from merrflow_qwen_audio.engines.audio_language.mel import SAMPLES
from merrflow_qwen_audio.engines.audio_language.prompting import AudioPrompt, ask
from merrflow_serving.errors import NotReady, TooLarge
from merrflow_serving.torch.device import BatchLimit
from merrflow_serving.torch.estimate import (
    FRAGMENTATION,
    decoder_activation_bytes,
    encoder_activation_bytes,
    kv_bytes_per_token,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from merrflow_qwen_audio.engines.audio_language.model import AudioLanguageModel, Question


def row_bytes(language: PretrainedConfig, tower: PretrainedConfig, dtype: torch.dtype, tokens: int) -> int:
    """Memory of one window besides the weights: the cache of `tokens` tokens, and the largest layer's activations."""
    working = max(
        decoder_activation_bytes(language, dtype, rows=1, tokens=tokens),
        encoder_activation_bytes(
            rows=1,
            tokens=tower.max_source_positions,
            width=tower.d_model,
            inner=tower.encoder_ffn_dim,
            itemsize=dtype.itemsize,
        ),
    )
    return int((kv_bytes_per_token(language, dtype) * tokens + working) * FRAGMENTATION)


def rows(model: AudioLanguageModel, longest: int, free_bytes: int, most: int) -> int:
    """How many windows of `longest` tokens (prompt and answer) fit into `free_bytes`, 1 to `most`.

    free_bytes: the engine's part of a card; on a CPU, where running out of memory ends the process, of the machine.
    """
    language, tower = model.language.config, model.encoder.module.config
    each = row_bytes(language, tower, model.language.dtype, longest)
    return max(1, min(most, free_bytes // each))


def warm_up(
    model: AudioLanguageModel, question: Question, limit: BatchLimit, *, answer_tokens: int, whole: bool
) -> None:
    """Sends windows of 30 s through the model, so that kernels are chosen, memory is allocated, and a limit that is too
    high is lowered now.

    whole: as many windows as the limit says, each answered to the last token; otherwise one window and one token.
    Raises `NotReady` if a single window does not fit.
    """
    noise = np.random.default_rng(0).normal(0.0, 0.05, SAMPLES).astype(np.float32)
    tokens = len(question) + model.span(noise.size)
    count, written = (limit.size, answer_tokens) if whole else (1, 1)
    prompts = [AudioPrompt(noise, question, tokens)] * count
    try:
        ask(model, prompts, limit, answer_tokens=written, least_tokens=written)
    except TooLarge as error:
        raise NotReady("the device has too little memory left for 30 seconds of sound beside the weights") from error
