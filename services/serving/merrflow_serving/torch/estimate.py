"""How much memory a model needs, computed from its shapes alone: modules on the `meta` device hold no data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

GIB = 1 << 30
# CUDA context and library workspaces (cuBLAS, cuDNN) of one process, which a `Need` contains, and what the caching
# allocator cannot reuse.
CONTEXT_BYTES = int(0.75 * GIB)
FRAGMENTATION = 1.05


def module_bytes(module_on_meta: torch.nn.Module, dtype: torch.dtype | Callable[[str], torch.dtype]) -> int:
    """Bytes of parameters and buffers with the floating ones in `dtype` (one format, or a function of the name).

    Integer tensors keep their width. A tensor with several names (tied embeddings) counts once.
    """
    seen: set[int] = set()
    total = 0
    named = [
        *module_on_meta.named_parameters(remove_duplicate=False),
        *module_on_meta.named_buffers(remove_duplicate=False),
    ]
    for name, tensor in named:
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        wanted = dtype if not callable(dtype) else dtype(name)
        width: int = wanted.itemsize if tensor.is_floating_point() else tensor.dtype.itemsize
        total += tensor.numel() * width
    return total


def kv_bytes_per_token(config: Any, dtype: torch.dtype) -> int:
    """Bytes that one token of context holds in the key-value cache of a decoder.

    config: a transformers configuration with num_hidden_layers, num_attention_heads, hidden_size, and, if they differ,
    num_key_value_heads and head_dim. Llama-3-8B in bfloat16: 2 * 32 layers * 8 heads * 128 * 2 bytes = 128 KiB.
    """
    layers: int = config.num_hidden_layers
    heads: int = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width: int = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * layers * heads * width * dtype.itemsize


def decoder_activation_bytes(config: Any, dtype: torch.dtype, *, rows: int, tokens: int, logits: int = 1) -> int:
    """Upper estimate of what a forward pass over `rows` x `tokens` holds besides weights and cache, without gradients.

    For each token, at the layer that holds most: residual, normed copy, the MLP's two branches and their product (each
    `intermediate_size` wide), one float32 copy of the norm; then `logits` rows of the vocabulary for each row, in
    the weights' format and once more in float32, as sampling and log-softmax use them.
    For sdpa and flash attention, which hold no tokens x tokens matrix; eager attention does.
    """
    width: int = config.hidden_size
    inner: int = config.intermediate_size
    vocabulary: int = config.vocab_size
    token_bytes = (4 * width + 3 * inner) * dtype.itemsize + 2 * width * 4
    row_bytes = logits * vocabulary * (dtype.itemsize + 2 * 4)
    return rows * (tokens * token_bytes + row_bytes)


def encoder_activation_bytes(*, rows: int, tokens: int, width: int, inner: int, itemsize: int = 2) -> int:
    """The same for one layer of an encoder (ViT, Whisper): residual in float32, norm, q/k/v, output, MLP twice."""
    return rows * tokens * (width * 4 + 5 * width * itemsize + 2 * inner * itemsize)


@dataclass(frozen=True)
class Plan:
    """Memory of one engine at its largest batch, in bytes."""

    weights: int
    cache: int = 0  # key-value cache of all rows at full length
    activations: int = 0
    context: int = CONTEXT_BYTES

    @property
    def total(self) -> int:
        """Everything, including what the allocator loses between blocks."""
        return int((self.weights + self.cache + self.activations) * FRAGMENTATION) + self.context
