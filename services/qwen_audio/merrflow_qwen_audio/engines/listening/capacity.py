"""How many windows a device takes at once, and a first pass that proves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from merrflow_qwen_audio.engines.listening.asking import Prompted, ask
from merrflow_qwen_audio.engines.listening.mel import SAMPLES
from merrflow_serving.errors import NotReady, TooLarge
from merrflow_serving.torch.device import BatchLimit, memory
from merrflow_serving.torch.estimate import (
    FRAGMENTATION,
    decoder_activation_bytes,
    encoder_activation_bytes,
    kv_bytes_per_token,
)

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from merrflow_qwen_audio.engines.listening.model import Listener, Question


def row_bytes(language: PretrainedConfig, tower: PretrainedConfig, dtype: torch.dtype, tokens: int) -> int:
    """What one window holds besides the weights at its largest: cache of `tokens` tokens, and one layer's work."""
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


def rows(listener: Listener, longest: int, device: torch.device, most: int) -> int:
    """Windows of `longest` tokens (prompt and answer) that fit what memory is left, 1 to `most`.

    On a CPU, where lack of memory ends the process, the same is counted on what the machine has left.
    """
    language, tower = listener.language.config, listener.encoder.module.config
    each = row_bytes(language, tower, listener.language.dtype, longest)
    return max(1, min(most, memory(device).free_bytes // each))


def warm_up(listener: Listener, question: Question, limit: BatchLimit, *, answer_tokens: int, whole: bool) -> None:
    """Sends windows of 30 s through the model, so that kernels are chosen, memory is taken, and a limit that is too
    high is lowered now. `whole`: as many as the limit says, each answered to the last token; else one, and one token.

    Raises `NotReady` where a single window does not fit.
    """
    noise = np.random.default_rng(0).normal(0.0, 0.05, SAMPLES).astype(np.float32)
    tokens = len(question) + listener.span(noise.size)
    count, written = (limit.size, answer_tokens) if whole else (1, 1)
    prompts = [Prompted(noise, question, tokens)] * count
    try:
        ask(listener, prompts, limit, answer_tokens=written, least_tokens=written)
    except TooLarge as error:
        raise NotReady("the device has too little memory left for 30 seconds of sound beside the weights") from error
