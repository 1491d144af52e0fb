"""The GPU memory that an audio-language model needs, from shapes alone (modules on the meta device). Imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from merrflow_qwen_audio.engines.audio_language.capacity import row_bytes
from merrflow_serving.torch.estimate import Plan, module_bytes
from merrflow_serving.torch.need import Need

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PretrainedConfig

PROMPT_TOKENS = 256  # of the question; the longest packaged prompt has half as many


def need(
    parts: nn.Module,
    language: PretrainedConfig,
    tower: PretrainedConfig,
    dtype: torch.dtype,
    *,
    windows: int,
    answer_tokens: int,
) -> Need:
    """parts: all modules, on the meta device. windows: of 30 s; the most at once."""
    weights = module_bytes(parts, dtype)
    tokens = tower.max_source_positions // 2 + 2 + PROMPT_TOKENS + answer_tokens
    row = row_bytes(language, tower, dtype, tokens)
    return Need(Plan(weights, cache=row).total, Plan(weights, cache=windows * row).total)
