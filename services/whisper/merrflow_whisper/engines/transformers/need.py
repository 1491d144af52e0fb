"""The GPU memory that a model of speech recognition needs, from its config alone: modules on the meta device."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import WhisperConfig

from merrflow_serving.torch.estimate import GIB, Plan, encoder_activation_bytes, module_bytes
from merrflow_serving.torch.need import Need
from merrflow_serving.weights.checkpoint import parameters_on_meta
from merrflow_whisper.engines.transformers.loading import kind_of, read_config

OTHER = GIB  # work space of one stretch of 30 s in a model other than Whisper; Wav2Vec2-large takes half


def need(folder: Path, dtype: torch.dtype, *, windows: int, beams: int) -> Need:
    """Bytes for one window of 30 s, and for `windows` at once. Raises `NotReady` if there is no config."""
    config = read_config(folder)
    with parameters_on_meta():
        model = kind_of(config, folder).from_config(config, trust_remote_code=False)
    weights = module_bytes(model, dtype)
    if not isinstance(config, WhisperConfig):
        plan = Plan(weights, activations=OTHER)
        return Need(plan.total, plan.total)
    # Of each beam: keys and values of what is heard and of the text; logits, and copies of them while they are sorted.
    positions = config.max_source_positions + config.max_target_positions
    keys = 2 * config.decoder_layers * config.d_model * positions * dtype.itemsize
    row = beams * (keys + 6 * 4 * config.vocab_size)
    row += encoder_activation_bytes(
        rows=1, tokens=2 * config.max_source_positions, width=config.d_model, inner=config.encoder_ffn_dim
    )
    return Need(Plan(weights, cache=row).total, Plan(weights, cache=windows * row).total)
