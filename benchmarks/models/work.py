"""How much a model reads and computes, counted from its modules, and the least time a device needs for it.

Counted: products of matrices and convolutions (a multiplication and an addition are two operations), attention's two
products, each weight read once a pass, the key-value cache read or written. Not counted: norms, activations,
softmax, transfers between layers. So a limit is never too low, and half of it is a good figure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from benchmarks.support.card import Card
from merrflow_serving.torch.estimate import kv_bytes_per_token, module_bytes


@dataclass(frozen=True)
class Work:
    """One pass over a part."""

    flops: float
    bytes: float
    dtype: torch.dtype  # of the multiplications


@dataclass(frozen=True)
class Bound:
    """The least time that some passes take."""

    seconds: float
    by: Literal["memory", "compute"]  # what most of that time is spent on


def bound(passes: Iterable[Work], card: Card) -> Bound:
    """A pass takes as long as its reading or its computing, whichever is longer; passes follow each other."""
    spent = {"memory": 0.0, "compute": 0.0}
    for work in passes:
        reading, computing = work.bytes / card.bandwidth, work.flops / card.peak(work.dtype)
        spent["memory" if reading >= computing else "compute"] += max(reading, computing)
    return Bound(sum(spent.values()), "memory" if spent["memory"] >= spent["compute"] else "compute")


def held_bytes(module: nn.Module) -> int:
    """Bytes of parameters and buffers in their own formats."""
    formats = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return module_bytes(module, lambda name: formats[name].dtype)


def linear_weights(module: nn.Module) -> int:
    """Numbers in the matrices of its linear layers; each is used in one multiplication per token."""
    return sum(part.weight.numel() for part in module.modules() if isinstance(part, nn.Linear))


@dataclass(frozen=True)
class Decoder:
    """A causal language model of transformers."""

    layers: int  # numbers in the matrices of all layers
    head: int  # numbers in the matrix of the vocabulary
    weight_bytes: int  # read in a pass: all but the embedding, of which a pass reads a few rows
    pair_flops: int  # of a query and a key, in all layers and heads
    cache_bytes: int  # of a token
    dtype: torch.dtype

    @classmethod
    def of(cls, model: Any) -> Decoder:
        """model: `LlamaForCausalLM`, `Qwen2ForCausalLM` or one like them, with an embedding and a head of its own."""
        config = model.config
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(
            layers=linear_weights(model.get_decoder()),
            head=model.get_output_embeddings().weight.numel(),
            weight_bytes=held_bytes(model) - held_bytes(model.get_input_embeddings()),
            pair_flops=4 * config.num_hidden_layers * config.num_attention_heads * width,
            cache_bytes=kv_bytes_per_token(config, model.dtype),
            dtype=model.dtype,
        )

    def prompts(self, rows: int, tokens: int) -> Work:
        """Reading `rows` prompts of `tokens` each, with the first token of each answer."""
        pairs = tokens * (tokens + 1) // 2
        flops = rows * (2 * self.layers * tokens + 2 * self.head + self.pair_flops * pairs)
        return Work(flops, self.weight_bytes + rows * tokens * self.cache_bytes, self.dtype)

    def step(self, rows: int, context: int) -> Work:
        """One more token for each row; `context`: tokens that it sees, itself included."""
        flops = rows * (2 * (self.layers + self.head) + self.pair_flops * context)
        return Work(flops, self.weight_bytes + rows * context * self.cache_bytes, self.dtype)

    def steps(self, rows: int, prompt: int, tokens: int) -> list[Work]:
        """From the first token of the answers to the last of `tokens`."""
        return [self.step(rows, prompt + number) for number in range(1, tokens)]


@dataclass(frozen=True)
class Encoder:
    """A tower that takes whole pictures or recordings."""

    item_flops: int
    weight_bytes: int
    dtype: torch.dtype

    def batch(self, items: int) -> Work:
        return Work(items * self.item_flops, self.weight_bytes, self.dtype)


def picture_encoder(tower: nn.Module, projection: nn.Linear, *, image_tokens: int) -> Encoder:
    """tower: `Blip2VisionModel`. projection: on `image_tokens` tokens of a picture."""
    config = tower.config
    patches = (config.image_size // config.patch_size) ** 2
    places = patches + 1
    flops = 2 * linear_weights(tower) * places + 2 * projection.weight.numel() * image_tokens
    flops += 2 * tower.embeddings.patch_embedding.weight.numel() * patches
    flops += 4 * config.num_hidden_layers * config.hidden_size * places**2
    dtype = tower.encoder.layers[0].mlp.fc1.weight.dtype
    return Encoder(flops, held_bytes(tower) + held_bytes(projection), dtype)


def sound_encoder(tower: nn.Module, projection: nn.Linear, *, tokens: int) -> Encoder:
    """tower: `Qwen2AudioEncoder`, always on its whole canvas. projection: on the `tokens` of a recording."""
    config = tower.config
    places = config.max_source_positions
    flops = 2 * linear_weights(tower) * places + 2 * projection.weight.numel() * tokens
    # The first convolution steps by 10 ms, the second by 20 ms.
    flops += 2 * (2 * tower.conv1.weight.numel() + tower.conv2.weight.numel()) * places
    flops += 4 * config.encoder_layers * config.d_model * places**2
    return Encoder(flops, held_bytes(tower) + held_bytes(projection), tower.conv1.weight.dtype)
