"""Qwen-Audio's parts as modules of transformers: tower, projection, markers at both ends, language model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from transformers import Qwen2ForCausalLM
from transformers.models.qwen2_audio.modeling_qwen2_audio import Qwen2AudioEncoder

from merrflow_serving.weights.checkpoint import parameters_on_meta

if TYPE_CHECKING:
    from merrflow_qwen_audio.engines.qwen_audio.config import Shape


class Parts(nn.Module):
    """All weights of a checkpoint under one module. Build it on the meta device and fill it."""

    def __init__(self, shape: Shape, attention: str = "sdpa") -> None:
        super().__init__()
        self.tower = Qwen2AudioEncoder(shape.tower(attention))
        self.proj = nn.Linear(shape.audio_width, shape.hidden_size)
        self.ends = nn.Embedding(2, shape.hidden_size)  # the markers before and after the sound
        self.language = Qwen2ForCausalLM(shape.language(attention))


def without_data(shape: Shape, attention: str = "sdpa") -> Parts:
    """The modules with their parameters on the meta device, for filling and for counting bytes."""
    with parameters_on_meta():
        parts = Parts(shape, attention)
    parts.train(False)
    return parts
