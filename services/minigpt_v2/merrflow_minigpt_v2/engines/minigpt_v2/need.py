"""The GPU memory that the engine needs, from shapes alone (modules on the meta device). Imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from merrflow_minigpt_v2.engines.minigpt_v2 import language, vision
from merrflow_serving.torch.estimate import (
    Plan,
    decoder_activation_bytes,
    encoder_activation_bytes,
    kv_bytes_per_token,
    module_bytes,
)
from merrflow_serving.torch.need import Need
from merrflow_serving.weights.checkpoint import parameters_on_meta

if TYPE_CHECKING:
    import torch
    from transformers import LlamaConfig

    from merrflow_minigpt_v2.engines.minigpt_v2.architecture import Architecture

TEMPLATE_TOKENS = 32  # around picture and instruction: two starts and about 20 pieces in Llama 2's vocabulary


def need(
    shape: Architecture,
    config: LlamaConfig,
    dtype: torch.dtype,
    *,
    pictures: int,
    rows: int,
    instruction_tokens: int,
    answer_tokens: int,
) -> Need:
    """config: the language model's. pictures, rows: the largest batches of the tower and of the language model."""
    import torch

    with parameters_on_meta():
        tower = vision.build(shape, "sdpa")
        projection = nn.Linear(shape.vision.width * shape.projection.patches, config.hidden_size)
        llama = language.build(config, "sdpa")
    weights = module_bytes(llama, dtype) + module_bytes(tower, vision.tower_dtype(dtype))
    weights += module_bytes(projection, torch.float32)
    places = TEMPLATE_TOKENS + shape.image_tokens + instruction_tokens + answer_tokens

    def plan(pictures: int, rows: int) -> int:
        seeing = encoder_activation_bytes(
            rows=pictures, tokens=1 + shape.patches, width=shape.vision.width, inner=shape.vision.mlp
        )
        speaking = decoder_activation_bytes(config, dtype, rows=rows, tokens=places)
        return Plan(weights, rows * places * kv_bytes_per_token(config, dtype), max(seeing, speaking)).total

    return Need(plan(1, 1), plan(pictures, rows))
