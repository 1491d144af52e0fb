"""Tiny checkpoints in the original formats, from a seed: every weight, bias and norm is random, so nothing hides."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HIDDEN, INNER, HEADS, LAYERS = 32, 40, 4, 2
# Not the published ones (1e-5, 10000), whose part in so small a model would be lost in rounding.
EPS, THETA = 1e-2, 500.0
WIDTH, AUDIO_HEADS, AUDIO_LAYERS = 24, 2, 2
# Byte pairs, each of two tokens that are there before it.
PAIRS = [b" t", b"he", b"in", b"er", b" a", b"on", b" s", b"an", b" the", b"or", b"nd", b" an", b"ing", b" is", b"is"]
PAIRS += [b" to", b"ne", b" tone", b"ca", b"lm", b"calm", b"oy", b"joy", b"fu", b"joyfu", b"joyful", b"sa", b"sad"]
SPECIALS = 3_522
SHARD = 40  # tensors in a file


def tokens() -> list[bytes]:
    """The vocabulary of ordinary tokens in the order of their ranks."""
    return [bytes([number]) for number in range(256)] + PAIRS


def write_tokens(folder: Path) -> None:
    lines = [f"{base64.b64encode(token).decode()} {rank}" for rank, token in enumerate(tokens())]
    (folder / "qwen.tiktoken").write_text("\n".join(lines) + "\n")


def config() -> dict[str, object]:
    """config.json with the keys of the published one."""
    ordinary = len(tokens())
    return {
        "architectures": ["QWenLMHeadModel"],
        "model_type": "qwen",
        "auto_map": {"AutoModelForCausalLM": "modeling_qwen.QWenLMHeadModel"},
        "hidden_size": HIDDEN,
        "intermediate_size": 2 * INNER,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "kv_channels": HIDDEN // HEADS,
        "layer_norm_epsilon": EPS,
        "no_bias": True,
        "rotary_emb_base": THETA,
        "rotary_pct": 1.0,
        "seq_length": 2048,
        "tie_word_embeddings": False,
        "use_dynamic_ntk": True,
        "use_logn_attn": True,
        "vocab_size": ordinary + SPECIALS + 6,
        "audio": {
            "n_mels": 80,
            "n_ctx": 1500,
            "n_state": WIDTH,
            "n_head": AUDIO_HEADS,
            "n_layer": AUDIO_LAYERS,
            "output_dim": HIDDEN,
            "avg_pool": True,
            "add_audio_bos_eos_token": True,
            "audio_start_id": ordinary + SPECIALS - 2,
        },
    }


def shapes() -> dict[str, tuple[int, ...]]:
    """The names and shapes of an original checkpoint of this size."""
    vocabulary = int(config()["vocab_size"])
    found: dict[str, tuple[int, ...]] = {"transformer.wte.weight": (vocabulary, HIDDEN)}
    for layer in range(LAYERS):
        name = f"transformer.h.{layer}."
        found |= {name + "ln_1.weight": (HIDDEN,), name + "ln_2.weight": (HIDDEN,)}
        found |= {name + "attn.c_attn.weight": (3 * HIDDEN, HIDDEN), name + "attn.c_attn.bias": (3 * HIDDEN,)}
        found |= {name + "attn.c_proj.weight": (HIDDEN, HIDDEN), name + "mlp.c_proj.weight": (HIDDEN, INNER)}
        found |= {name + "mlp.w1.weight": (INNER, HIDDEN), name + "mlp.w2.weight": (INNER, HIDDEN)}
    found["transformer.ln_f.weight"] = (HIDDEN,)
    audio = "transformer.audio."
    found |= {audio + "positional_embedding": (1500, WIDTH), audio + "conv1.weight": (WIDTH, 80, 3)}
    found |= {audio + "conv1.bias": (WIDTH,), audio + "conv2.weight": (WIDTH, WIDTH, 3), audio + "conv2.bias": (WIDTH,)}
    for block in range(AUDIO_LAYERS):
        name = f"{audio}blocks.{block}."
        for part in ("query", "key", "value", "out"):
            found[f"{name}attn.{part}.weight"] = (WIDTH, WIDTH)
            if part != "key":
                found[f"{name}attn.{part}.bias"] = (WIDTH,)
        for norm in ("attn_ln", "mlp_ln"):
            found |= {f"{name}{norm}.weight": (WIDTH,), f"{name}{norm}.bias": (WIDTH,)}
        found |= {name + "mlp.0.weight": (4 * WIDTH, WIDTH), name + "mlp.0.bias": (4 * WIDTH,)}
        found |= {name + "mlp.2.weight": (WIDTH, 4 * WIDTH), name + "mlp.2.bias": (WIDTH,)}
    found |= {audio + "ln_post.weight": (WIDTH,), audio + "ln_post.bias": (WIDTH,)}
    found |= {audio + "proj.weight": (HIDDEN, WIDTH), audio + "proj.bias": (HIDDEN,)}
    found |= {audio + "audio_bos_eos_token.weight": (2, HIDDEN), "lm_head.weight": (vocabulary, HIDDEN)}
    return found


def weights(seed: int = 4) -> dict[str, torch.Tensor]:
    """The tensors, float32. Special tokens are unlikely to be written, so that answers have words."""
    generator = np.random.default_rng(seed)
    made = {}
    for name, shape in shapes().items():
        scale = 0.3 if len(shape) == 1 else 1.6 / np.sqrt(np.prod(shape[1:]))
        value = generator.standard_normal(shape) * scale
        made[name] = torch.from_numpy(value + (("ln" in name) and name.endswith("weight"))).float()
    made["lm_head.weight"][len(tokens()) :] *= 0.2
    return made


def extras() -> dict[str, torch.Tensor]:
    """What versions of the authors' classes saved beside the weights and never read."""
    return {
        "transformer.h.0.attn.masked_bias": torch.tensor(-1e4),
        "transformer.rotary_emb.inv_freq": torch.ones(HIDDEN // HEADS // 2),
        "transformer.h.1.attn.rotary_emb.inv_freq": torch.ones(HIDDEN // HEADS // 2),
    }


def write(folder: Path, tensors: Mapping[str, torch.Tensor], *, kind: str = "safetensors") -> Path:
    """A folder as on the hub: sharded weights with their index, configuration and vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config()))
    write_tokens(folder)
    write_shards(folder, tensors, kind)
    return folder


def write_shards(folder: Path, tensors: Mapping[str, torch.Tensor], kind: str) -> None:
    base = {"safetensors": "model", "bin": "pytorch_model"}[kind]
    names = list(tensors)
    parts = [names[at : at + SHARD] for at in range(0, len(names), SHARD)]
    placed = {}
    for number, part in enumerate(parts, 1):
        file = f"{base}-{number:05d}-of-{len(parts):05d}.{kind}"
        shard = {name: tensors[name].contiguous() for name in part}
        if kind == "bin":
            torch.save(shard, folder / file)
        else:
            save_file(shard, str(folder / file), metadata={"format": "pt"})
        placed |= dict.fromkeys(part, file)
    index = {
        "metadata": {"total_size": sum(t.numel() * t.element_size() for t in tensors.values())},
        "weight_map": placed,
    }
    (folder / f"{base}.{kind}.index.json").write_text(json.dumps(index))
