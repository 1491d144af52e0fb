"""How much memory a model needs, told from its shapes alone: modules on the `meta` device hold no data.

Used to size caches and batches at load, and by the tests that hold "a 24 GB card carries each model alone".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

GIB = 1 << 30
# What cards of a nominal size offer a process: the total of the smallest common models (A10, L4: 22.5 GiB; A100 and
# H100 of 80 GB: 79.1 GiB), less what the driver keeps.
CARD_24_GB = int(22.0 * GIB)
CARD_80_GB = int(79.0 * GIB)
# CUDA context and library workspaces (cuBLAS, cuDNN) of one process, and what the caching allocator cannot reuse.
CONTEXT_BYTES = int(0.75 * GIB)
FRAGMENTATION = 1.05


def module_bytes(module_on_meta: torch.nn.Module, dtype: torch.dtype | Callable[[str], torch.dtype]) -> int:
    """Bytes of parameters and buffers once floating ones are in `dtype` (a format, or one for each name).

    Integer tensors keep their width. A tensor under several names (tied embeddings) counts once.
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
        total += tensor.numel() * (wanted.itemsize if tensor.is_floating_point() else tensor.dtype.itemsize)
    return total


def kv_bytes_per_token(config: Any, dtype: torch.dtype) -> int:
    """Bytes that one token of context holds in the key-value cache of a decoder.

    config: a transformers configuration with num_hidden_layers, num_attention_heads, hidden_size, and where they differ
    num_key_value_heads and head_dim. Llama-3-8B in bfloat16: 2 * 32 layers * 8 heads * 128 * 2 bytes = 128 KiB.
    """
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * heads * width * dtype.itemsize


def decoder_activation_bytes(config: Any, dtype: torch.dtype, *, rows: int, tokens: int, logits: int = 1) -> int:
    """Upper estimate of what a forward pass over `rows` x `tokens` holds besides weights and cache, without gradients.

    Of each token at the layer that holds most: residual, normed copy, the MLP's two branches and their product (each
    `intermediate_size` wide), one float32 copy of the norm; then `logits` rows of the vocabulary for each row, in
    the weights' format and once more in float32, as sampling and log-softmax take them.
    With sdpa or flash attention no tokens x tokens matrix is held; with eager attention add
    `attention_matrix_bytes`.
    """
    width, inner = config.hidden_size, config.intermediate_size
    of_a_token = (4 * width + 3 * inner) * dtype.itemsize + 2 * width * 4
    of_a_row = logits * config.vocab_size * (dtype.itemsize + 2 * 4)
    return rows * (tokens * of_a_token + of_a_row)


def encoder_activation_bytes(*, rows: int, tokens: int, width: int, inner: int, itemsize: int = 2) -> int:
    """The same for one layer of an encoder (ViT, Whisper): residual in float32, norm, q/k/v, output, MLP twice."""
    return rows * tokens * (width * 4 + 5 * width * itemsize + 2 * inner * itemsize)


def attention_matrix_bytes(*, rows: int, heads: int, queries: int, keys: int, itemsize: int = 2) -> int:
    """What eager attention holds beyond that: scores, their softmax in float32, and its copy in the weights' format."""
    return rows * heads * queries * keys * (2 * itemsize + 4)


@dataclass(frozen=True)
class Plan:
    """Memory of one engine at its largest batch, in bytes."""

    weights: int
    cache: int = 0  # key-value cache of all rows at full length
    activations: int = 0
    context: int = CONTEXT_BYTES

    @property
    def total(self) -> int:
        """Everything, with what the allocator loses between blocks."""
        return int((self.weights + self.cache + self.activations) * FRAGMENTATION) + self.context

    def fits(self, card: int) -> bool:
        """True where a card with `card` bytes holds it."""
        return self.total <= card


def cache_tokens(card: int, *, weights: int, per_token: int, activations: int = 0, context: int = CONTEXT_BYTES) -> int:
    """Tokens of key-value cache that fit beside the rest; 0 where the weights alone are too large."""
    left = int((card - context) / FRAGMENTATION) - weights - activations
    return max(0, left // per_token)
