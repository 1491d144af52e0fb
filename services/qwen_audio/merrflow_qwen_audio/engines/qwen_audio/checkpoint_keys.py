"""Maps the keys of an original Qwen-Audio checkpoint to those of `modules.Parts`.

The keys come from the authors' own classes (QwenLM/Qwen-Audio, modeling_qwen.py and audio.py). Two of them are
unusual: `c_attn` has query, key and value one below the other; and the gate of the MLP, which goes through SiLU, is
`w2`, while `w1` is what it gates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from merrflow_serving.errors import NotReady
from merrflow_serving.weights.names import listed

if TYPE_CHECKING:
    import torch

PARTS = ("q", "k", "v")
_MARK = "#"  # between a key of the file and the part of its tensor
_FUSED = re.compile(r"transformer\.h\.\d+\.attn\.c_attn\.(weight|bias)")

# Saved by some versions of the authors' classes and never read: causal masks, rotary frequencies.
_IGNORED = re.compile(
    r"transformer\.(h\.\d+\.attn\.(masked_bias|bias|logn_tensor|rotary_emb\.inv_freq)|rotary_emb\.inv_freq)"
)
_WHOLE = {
    "transformer.wte.weight": "language.model.embed_tokens.weight",
    "transformer.ln_f.weight": "language.model.norm.weight",
    "lm_head.weight": "language.lm_head.weight",
    "transformer.audio.positional_embedding": "tower.embed_positions.weight",
    "transformer.audio.audio_bos_eos_token.weight": "ends.weight",
}
_LAYER = {
    "ln_1": "input_layernorm",
    "attn.c_proj": "self_attn.o_proj",
    "ln_2": "post_attention_layernorm",
    "mlp.w1": "mlp.up_proj",
    "mlp.w2": "mlp.gate_proj",
    "mlp.c_proj": "mlp.down_proj",
} | {f"attn.c_attn{_MARK}{part}": f"self_attn.{part}_proj" for part in PARTS}
_BLOCK = {
    "attn.query": "self_attn.q_proj",
    "attn.key": "self_attn.k_proj",
    "attn.value": "self_attn.v_proj",
    "attn.out": "self_attn.out_proj",
    "attn_ln": "self_attn_layer_norm",
    "mlp.0": "fc1",
    "mlp.2": "fc2",
    "mlp_ln": "final_layer_norm",
}
_TOWER = {"conv1": "tower.conv1", "conv2": "tower.conv2", "ln_post": "tower.layer_norm", "proj": "proj"}
_NAMES = (
    (re.compile(r"transformer\.h\.(\d+)\.(.+)\.(weight|bias)"), "language.model.layers", _LAYER),
    (re.compile(r"transformer\.audio\.blocks\.(\d+)\.(.+)\.(weight|bias)"), "tower.layers", _BLOCK),
)


def rename(key: str) -> str | None:
    """The module's name for a key of `UnfusedTensors`; None if it is not needed; the key itself if it is unknown."""
    if _IGNORED.fullmatch(key):
        return None
    if key in _WHOLE:
        return _WHOLE[key]
    name, _, part = key.partition(_MARK)
    for pattern, prefix, table in _NAMES:
        match = pattern.fullmatch(name)
        if match:
            number, inner, kind = match.groups()
            target = table.get(inner + (_MARK + part if part else ""))
            return f"{prefix}.{number}.{target}.{kind}" if target else key
    match = re.fullmatch(r"transformer\.audio\.(\w+)\.(weight|bias)", key)
    if match and match[1] in _TOWER:
        return f"{_TOWER[match[1]]}.{match[2]}"
    return key


def original(name: str) -> str:
    """The file's key for a name of `modules.Parts`, the inverse of `rename`. For messages."""
    for key, target in _WHOLE.items():
        if target == name:
            return key
    for pattern, prefix, table in _NAMES:
        match = re.fullmatch(rf"{re.escape(prefix)}\.(\d+)\.(.+)\.(weight|bias)", name)
        if match:
            number, inner, kind = match.groups()
            key = next(one for one, target in table.items() if target == inner).partition(_MARK)[0]
            return f"{pattern.pattern.split('(')[0]}{number}.{key}.{kind}".replace("\\", "")
    owner, _, kind = name.rpartition(".")
    return f"transformer.audio.{next(key for key, target in _TOWER.items() if target == owner)}.{kind}"


def check(names: Iterable[str], tensors: Mapping[str, torch.Tensor], origin: str) -> None:
    """Raises `NotReady` that lists, by the file's keys, which of `names` are missing, and which others there are."""
    wanted = set(names)
    missing = sorted({original(name) for name in wanted} - set(tensors))
    unknown = sorted(key for key in tensors if rename(key) not in wanted | {None} and not _FUSED.fullmatch(key))
    if missing:
        lists = [f"{kind}: {listed(keys)}" for kind, keys in (("missing", missing), ("unexpected", unknown)) if keys]
        raise NotReady(
            f"{origin} is not a complete Qwen-Audio checkpoint: {'; '.join(lists)}. Download it again, or give the "
            "folder of Qwen-Audio or Qwen-Audio-Chat",
            reason="MODEL_MISMATCH",
        )


class UnfusedTensors(Mapping[str, "torch.Tensor"]):
    """A checkpoint's tensors with every `c_attn` shown as its three parts, `<name>#q`, `#k` and `#v`."""

    def __init__(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self._tensors = tensors
        self._last: tuple[str, torch.Tensor] | None = None  # a fused tensor is read three times in a row

    def __getitem__(self, key: str) -> torch.Tensor:
        name, _, part = key.partition(_MARK)
        if not part:
            return self._tensors[name]
        if self._last is None or self._last[0] != name:
            self._last = (name, self._tensors[name])
        tensor = self._last[1]
        rows = tensor.shape[0] // len(PARTS)
        index = PARTS.index(part)
        # The last part takes the remaining rows, so that a tensor of a wrong height is detected.
        return tensor[rows * index : rows * (index + 1) if index + 1 < len(PARTS) else None]

    def __iter__(self) -> Iterator[str]:
        for name in self._tensors:
            if _FUSED.fullmatch(name):
                yield from (f"{name}{_MARK}{part}" for part in PARTS)
            else:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)
