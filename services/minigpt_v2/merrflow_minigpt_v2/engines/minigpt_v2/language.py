"""The language model: Llama-2-7b-chat with MiniGPT-v2's LoRA merged into it when it is loaded.

Merging is exact: W x + (alpha / r) B (A x) = (W + (alpha / r) B A) x (Hu et al. 2021, arXiv 2106.09685). The sum is
computed in float32 and rounded once to the serving dtype.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import LlamaConfig, LlamaForCausalLM

from merrflow_minigpt_v2.engines.minigpt_v2.architecture import Architecture, Lora
from merrflow_minigpt_v2.engines.minigpt_v2.checkpoint_keys import check_keys
from merrflow_serving.errors import NotReady
from merrflow_serving.weights.checkpoint import fill, parameters_on_meta

PREFIX = "llama_model.base_model.model."  # of the names that peft gives to the model it wraps
_ADAPTER_NAME = re.compile(r"\.lora_([AB])\.default\.weight$")
_ROTARY = re.compile(r".*\.rotary_emb\.inv_freq")  # a buffer of older files; it is computed from the configuration


def read_config(folder: Path) -> LlamaConfig:
    """The `config.json` of a Llama folder. Raises `NotReady` if it is missing or another kind of model's."""
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if not isinstance(values, dict) or values.get("model_type") != "llama":
            raise ValueError("it does not describe a Llama")
        return LlamaConfig.from_dict(values)
    except (OSError, ValueError, TypeError, StrictDataclassError) as error:
        raise NotReady(
            f"{folder}/config.json is not Llama-2-7b-chat-hf's ({error}); get the folder again", reason="MODEL_MISMATCH"
        ) from error


def build(config: LlamaConfig, attention: str) -> LlamaForCausalLM:
    """The model with random weights, or without any inside `parameters_on_meta`."""
    model = LlamaForCausalLM(LlamaConfig.from_dict(config.to_dict(), attn_implementation=attention))
    model.train(False)
    return model


def published_names(checkpoint: Mapping[str, torch.Tensor], origin: str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint by the names of the published one; unknown keys keep theirs.

    Newer versions of peft call an adapter `lora_A.default` and what it adapts `base_layer`; peft alone leaves
    `llama_model.` out, and training on several cards puts `module.` before all.
    Raises `NotReady` if two keys are one.
    """
    found: dict[str, torch.Tensor] = {}
    for key, tensor in checkpoint.items():
        name = _ADAPTER_NAME.sub(r".lora_\1.weight", key.removeprefix("module.")).replace(".base_layer.", ".")
        name = f"llama_model.{name}" if name.startswith("base_model.") else name
        if name in found:
            raise NotReady(f"{origin} has {name} twice, under its old and its new name", reason="MODEL_MISMATCH")
        found[name] = tensor
    return found


def trained(
    checkpoint: Mapping[str, torch.Tensor], prefix: str, base: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """What a checkpoint has in the place of tensors of `base`, by their names there: of a fine-tune that saves them."""
    own = {key.removeprefix(prefix): tensor for key, tensor in checkpoint.items() if key.startswith(prefix)}
    return {name: tensor for name, tensor in own.items() if name in base and not _ROTARY.fullmatch(name)}


def adapters(
    checkpoint: Mapping[str, torch.Tensor], config: LlamaConfig, shape: Architecture, base: Mapping[str, torch.Tensor]
) -> dict[str, tuple[str, str]]:
    """`lora_keys`, and the same of what a fine-tune adapts beyond: all of them change the answers."""
    found = lora_keys(config, shape.lora)
    for up in checkpoint:
        name, ends, _ = up.removeprefix(PREFIX).partition(".lora_B.weight")
        down = f"{PREFIX}{name}.lora_A.weight"
        if ends and up.startswith(PREFIX) and down in checkpoint and f"{name}.weight" in base:
            found[f"{name}.weight"] = (down, up)
    return found


def lora_keys(config: LlamaConfig, lora: Lora) -> dict[str, tuple[str, str]]:
    """For each adapted weight, by its name in the Llama folder: the names of A and B in `minigptv2_checkpoint.pth`."""
    found = {}
    for number in range(config.num_hidden_layers):
        for target in lora.targets:
            name = f"model.layers.{number}.self_attn.{target}"
            found[f"{name}.weight"] = (f"{PREFIX}{name}.lora_A.weight", f"{PREFIX}{name}.lora_B.weight")
    return found


def check_checkpoint(
    checkpoint: Mapping[str, torch.Tensor],
    config: LlamaConfig,
    shape: Architecture,
    origin: str,
    *,
    used: Collection[str] = (),
) -> None:
    """Raises `NotReady` if a key is missing in `minigptv2_checkpoint.pth`; warns of one that is not used here.

    `ln_vision` is optional: the published file has none. Buffers are ignored. used: keys beyond the published ones that
    are.
    """
    pairs = lora_keys(config, shape.lora)
    required = [key for pair in pairs.values() for key in pair] + ["llama_proj.weight", "llama_proj.bias"]
    norm = ["ln_vision.weight", "ln_vision.bias"]
    if any(key in checkpoint for key in norm):
        required += norm
    known = frozenset(used)
    check_keys(
        checkpoint.keys(), required, ignored=lambda key: key in known or bool(_ROTARY.fullmatch(key)), origin=origin
    )


def merged(
    weight: torch.Tensor, down: torch.Tensor, up: torch.Tensor, alpha: float, *, device: torch.device, name: str
) -> torch.Tensor:
    """weight (out, in) + alpha / rank * up (out, rank) @ down (rank, in), float32.

    Raises `NotReady` if the shapes do not fit each other.
    """
    if (
        down.ndim != 2
        or up.ndim != 2
        or tuple(weight.shape) != (up.shape[0], down.shape[1])
        or len(down) != up.shape[1]
    ):
        raise NotReady(
            f"the LoRA of {name} has the shapes {tuple(down.shape)} and {tuple(up.shape)}, which do not fit "
            f"{tuple(weight.shape)}: the checkpoint is for another language model",
            reason="MODEL_MISMATCH",
        )
    weight, down, up = (one.to(device, torch.float32) for one in (weight, down, up))
    return torch.addmm(weight, up, down, alpha=alpha / len(down))


def load(
    config: LlamaConfig,
    base: Mapping[str, torch.Tensor],
    checkpoint: Mapping[str, torch.Tensor],
    shape: Architecture,
    *,
    device: torch.device,
    dtype: torch.dtype,
    attention: str,
    origin: str,
) -> LlamaForCausalLM:
    """The merged model.

    base: the tensors of the Llama folder, which errors call `origin`. checkpoint: checked by `check_checkpoint`.
    Raises `NotReady` naming missing, unexpected or misshapen keys.
    """
    with parameters_on_meta():
        model = build(config, attention)
    fill(model, base, rename=_native, dtype=dtype, device=device, origin=origin)
    for name, keys in adapters(checkpoint, config, shape, base).items():
        down, up = (checkpoint[key] for key in keys)
        # From the file's own numbers, so that they are rounded once and not twice.
        weight = merged(base[name], down, up, shape.lora.alpha, device=device, name=name)
        model.get_parameter(name).data.copy_(weight)
    return model


def _native(key: str) -> str | None:
    return None if _ROTARY.fullmatch(key) else key
