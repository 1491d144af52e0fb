"""The vision encoder: EVA-CLIP ViT-g/14 at 448 pixels, `ln_vision`, and the projection to the language model's width.

Source: models/eva_vit.py and models/minigpt_v2.py of Vision-CAIR/MiniGPT-4. The tower is transformers'
`Blip2VisionModel`, which is the same network; its last norm is used for `ln_vision`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import Blip2VisionConfig, Blip2VisionModel

from merrflow_minigpt_v2.engines.minigpt_v2.architecture import Architecture
from merrflow_minigpt_v2.engines.minigpt_v2.checkpoint_keys import ComposedTensors, check_keys, tensor_of_shape
from merrflow_serving.weights.checkpoint import fill, parameters_on_meta

_BLOCK = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.qkv": "self_attn.qkv",
    "attn.proj": "self_attn.projection",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_OUTSIDE = {
    "cls_token": "embeddings.class_embedding",
    "pos_embed": "embeddings.position_embedding",
    "patch_embed.proj.weight": "embeddings.patch_embedding.weight",
    "patch_embed.proj.bias": "embeddings.patch_embedding.bias",
    "ln_vision.weight": "post_layernorm.weight",
    "ln_vision.bias": "post_layernorm.bias",
}
_UNUSED = re.compile(r"(norm|fc_norm|head)\.(weight|bias)")
_MATRIX = re.compile(r"\.(qkv|projection|fc1|fc2)\.(weight|bias)$")
_IN_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")


def build(shape: Architecture, attention: str) -> Blip2VisionModel:
    """The tower with random weights, or without any inside `parameters_on_meta`."""
    vision = shape.vision
    values = {
        "hidden_size": vision.width,
        "intermediate_size": vision.mlp,
        "num_hidden_layers": vision.layers,
        "num_attention_heads": vision.heads,
        "image_size": shape.image.size,
        "patch_size": vision.patch,
        "layer_norm_eps": vision.eps,
        "hidden_act": "gelu",
        "qkv_bias": True,
    }
    config = Blip2VisionConfig.from_dict(values, attn_implementation=attention)
    tower = Blip2VisionModel(config)
    tower.post_layernorm.eps = vision.final_eps
    tower.train(False)
    return tower


def file_keys(layers: int) -> list[str]:
    """The keys that `eva_vit_g.pth` must have for that many blocks."""
    keys = ["cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"]
    for number in range(layers):
        parts = ["attn.q_bias", "attn.v_bias", "attn.qkv.weight"]
        parts += [f"{name}.{kind}" for name in _BLOCK if name != "attn.qkv" for kind in ("weight", "bias")]
        keys += [f"blocks.{number}.{part}" for part in parts]
    return keys


def module_key(key: str) -> str | None:
    """The native module's name for a key of the file; None if it has none."""
    if key in _OUTSIDE:
        return _OUTSIDE[key]
    found = _IN_BLOCK.fullmatch(key)
    if not found:
        return None
    number, part = found.groups()
    if part == "attn.q_bias":  # `tensors_for` has joined it with the others
        return f"encoder.layers.{number}.self_attn.qkv.bias"
    name, _, kind = part.rpartition(".")
    return f"encoder.layers.{number}.{_BLOCK[name]}.{kind}" if name in _BLOCK else None


def tensors_for(
    file: Mapping[str, torch.Tensor], norm: Mapping[str, torch.Tensor], shape: Architecture, origin: str
) -> ComposedTensors:
    """The tensors of `eva_vit_g.pth` as the tower needs them.

    The biases of queries and values are joined with zeros for the keys, the position embedding is interpolated to the
    picture's grid, and `ln_vision` comes from `norm` (the other checkpoint), or is the identity if that has none.
    Raises `NotReady` naming missing, unexpected or misshapen keys.
    """
    vision = shape.vision
    keys = file_keys(vision.layers)

    def _ignored(key: str) -> bool:
        block = _IN_BLOCK.fullmatch(key)
        return int(block[1]) >= vision.layers if block else bool(_UNUSED.fullmatch(key))

    check_keys(file.keys(), keys, ignored=_ignored, origin=origin)

    def _bias(number: int) -> torch.Tensor:
        prefix = f"blocks.{number}.attn."
        queries, values = (tensor_of_shape(file, f"{prefix}{one}_bias", (vision.width,), origin) for one in "qv")
        return torch.cat([queries, torch.zeros_like(values), values])

    computed: dict[str, Callable[[], torch.Tensor]] = {
        f"blocks.{number}.attn.q_bias": partial(_bias, number) for number in range(vision.layers)
    }
    computed["pos_embed"] = lambda: interpolated(file["pos_embed"], shape.image.size // vision.patch)
    for kind, value in (("weight", 1.0), ("bias", 0.0)):
        name = f"ln_vision.{kind}"
        computed[name] = (
            partial(norm.__getitem__, name) if name in norm else partial(torch.full, (vision.width,), value)
        )
    return ComposedTensors(file, (key for key in keys if not key.endswith("attn.v_bias")), computed)


def interpolated(embedding: torch.Tensor, side: int) -> torch.Tensor:
    """A position embedding (1, 1 + n * n, width) for a grid of `side` x `side`, float32; the class token's is kept."""
    embedding = embedding.float()
    grid = round((embedding.shape[1] - 1) ** 0.5)
    if grid == side or grid * grid != embedding.shape[1] - 1:  # `fill` refuses the shape of what is not square
        return embedding
    places = embedding[:, 1:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
    places = nn.functional.interpolate(places, size=(side, side), mode="bicubic", align_corners=False)
    return torch.cat([embedding[:, :1], places.flatten(2).transpose(1, 2)], dim=1)


def tower_dtype(language: torch.dtype) -> Callable[[str], torch.dtype]:
    """The dtype of each of the tower's tensors: as published, the blocks' matrices in float16, the rest in float32.

    Norms and embeddings keep float32, and so does the residual stream. The patch embedding does too, because the native
    class takes the stream's dtype from it; autocast multiplies in 16 bits all the same. If the language model computes
    in float32, everything does.
    """
    half = torch.float32 if language == torch.float32 else torch.float16

    def _of(name: str) -> torch.dtype:
        return half if _MATRIX.search(name) else torch.float32

    return _of


class VisionEncoder:
    """Pictures to tokens of the language model."""

    def __init__(self, shape: Architecture, tower: Blip2VisionModel, projection: nn.Linear) -> None:
        self.shape = shape
        self.tower = tower
        self.projection = projection
        self._dtype = tower.get_parameter("encoder.layers.0.mlp.fc1.weight").dtype

    @classmethod
    def load(
        cls,
        shape: Architecture,
        eva: Mapping[str, torch.Tensor],
        checkpoint: Mapping[str, torch.Tensor],
        *,
        language_width: int,
        device: torch.device,
        dtype: torch.dtype,
        attention: str,
        origins: tuple[str, str],
    ) -> VisionEncoder:
        """eva, checkpoint: tensors of `eva_vit_g.pth` and `minigptv2_checkpoint.pth`; origins: both names, for errors.

        dtype: of the language model. If it has 16 bits, the tower computes in float16, in which it was published.
        Raises `NotReady` naming missing, unexpected or misshapen keys.
        """
        with parameters_on_meta():
            tower = build(shape, attention)
            joined = shape.vision.width * shape.projection.patches
            projection = nn.Linear(joined, language_width)
        tensors = tensors_for(eva, checkpoint, shape, origins[0])
        fill(tower, tensors, rename=module_key, dtype=tower_dtype(dtype), device=device, origin=origins[0])
        own = {key: key.removeprefix("llama_proj.") for key in ("llama_proj.weight", "llama_proj.bias")}
        fill(
            projection,
            ComposedTensors(checkpoint, own, {}),
            rename=own.get,
            dtype=torch.float32,
            device=device,
            origin=origins[1],
        )
        return cls(shape, tower, projection)

    @property
    def device(self) -> torch.device:
        return self.projection.weight.device

    @torch.inference_mode()
    def encode(self, pictures: Sequence[npt.NDArray[np.float32]]) -> list[torch.Tensor]:
        """Each (3, size, size) float32 as (image tokens, language width) float32 or float16.

        Four consecutive patches of a row, not a 2 x 2 square, are concatenated; the class token is dropped.
        """
        pixels = torch.from_numpy(np.stack(pictures)).to(self.device)
        with torch.autocast(self.device.type, torch.float16, enabled=self._dtype != torch.float32):
            patches = self.tower(pixel_values=pixels).last_hidden_state[:, 1:]
            joined = patches.reshape(len(pictures), self.shape.image_tokens, -1)
            return list(self.projection(joined))
