"""A causal language model from a folder in Hugging Face's format, or from a GGUF file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from merrflow_serving.torch.pretrained import load_pretrained


def load_model(path: Path, *, device: torch.device, dtype: torch.dtype, attention: str) -> Any:
    """The model at `path`. Raises `NotReady` as `load_pretrained` does."""
    return load_pretrained(
        AutoModelForCausalLM,
        path,
        what="language model that can answer",
        device=device,
        dtype=dtype,
        attention=attention,
    )
