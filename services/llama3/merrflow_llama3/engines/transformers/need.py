"""How much GPU memory a language model takes, from its config alone: modules on the meta device. Imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from merrflow_llama3.engines.transformers.memory import PAGE, room
from merrflow_serving.errors import NotReady
from merrflow_serving.torch.estimate import CONTEXT_BYTES, module_bytes
from merrflow_serving.torch.need import Need
from merrflow_serving.weights.checkpoint import parameters_on_meta


def read_config(path: Path) -> Any:
    """The config of a folder in Hugging Face's format, or of a GGUF file. Raises `NotReady` if there is none."""
    from_file = path.suffix == ".gguf"
    where: dict[str, Any] = {"gguf_file": path.name} if from_file else {}
    try:
        return AutoConfig.from_pretrained(
            path.parent if from_file else path, local_files_only=True, trust_remote_code=False, **where
        )
    except (OSError, ValueError) as error:
        raise NotReady(f"{path}: the model's config cannot be read: {error}") from error


def need(
    config: Any, dtype: torch.dtype, *, requests: int, context_tokens: int, step_tokens: int, page: int = PAGE
) -> Need:
    """Bytes for one answer and for `requests` at once, of `context_tokens` each; the rest as in `memory.plan`."""
    with parameters_on_meta():
        # transformers does not annotate it.
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)  # type: ignore[no-untyped-call]
    weights = module_bytes(model, dtype) + CONTEXT_BYTES

    def besides(requests: int) -> int:
        return room(config, dtype, requests=requests, context_tokens=context_tokens, step_tokens=step_tokens, page=page)

    return Need(weights + besides(1), weights + besides(requests))
