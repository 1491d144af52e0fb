"""MiniGPT-v2 once more, straight from its description: raw tensors and loops, no model class, nothing of the engine.

Slow, one picture at a time, LoRA unmerged, no cache. `python -m tests.services.minigpt_v2.reference` writes
golden.json.
"""

from __future__ import annotations

import json
import math

import numpy as np
import torch
from sentencepiece import SentencePieceProcessor
from torch.nn import functional

from tests.services.minigpt_v2.tiny import CONFIG, DATA, RANK, TOKENIZER, Files, make_files, picture

GOLDEN = DATA / "golden.json"
SIDE, PATCH, HEADS, LAYERS = 56, 14, 2, 2
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
GOLDEN_PICTURE = 2  # one in which no rounding of Pillow's differs
TEXT = "What do you see in the image? Please describe it using words only."


def _cubic(distance: float, sharpness: float) -> float:
    """Keys' kernel (1981)."""
    x = abs(distance)
    if x < 1:
        return (sharpness + 2) * x**3 - (sharpness + 3) * x**2 + 1
    return sharpness * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def _weights(old: int, new: int, sharpness: float, *, antialias: bool, beyond: str) -> np.ndarray:
    """(new, old): what each new sample takes of each old one. beyond: "cut" and rescale, or "repeat" the edge."""
    ratio = old / new
    stretch = max(1.0, ratio) if antialias else 1.0
    table = np.zeros((new, old))
    for place in range(new):
        centre = (place + 0.5) * ratio - 0.5
        for source in range(math.floor(centre - 2 * stretch), math.ceil(centre + 2 * stretch) + 1):
            weight = _cubic((source - centre) / stretch, sharpness)
            if 0 <= source < old:
                table[place, source] += weight
            elif beyond == "repeat":
                table[place, min(max(source, 0), old - 1)] += weight
    return table / table.sum(1, keepdims=True)


def squash(image: np.ndarray) -> np.ndarray:
    """Bicubic (a = -1/2) with antialias: columns first, rounded, then rows, rounded."""
    across = _weights(image.shape[1], SIDE, -0.5, antialias=True, beyond="cut")
    down = _weights(image.shape[0], SIDE, -0.5, antialias=True, beyond="cut")
    first = np.floor(np.einsum("xs,ysc->yxc", across, image.astype(float)) + 0.5).clip(0, 255)
    return np.floor(np.einsum("ys,sxc->yxc", down, first) + 0.5).clip(0, 255).astype(np.uint8)


def prepare(small: np.ndarray) -> torch.Tensor:
    """(3, side, side)."""
    planes = [(small[..., band] / 255.0 - MEAN[band]) / STD[band] for band in range(3)]
    return torch.tensor(np.stack(planes), dtype=torch.float32)


def _norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float) -> torch.Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt() * weight + bias


def positions(embedding: torch.Tensor, side: int) -> torch.Tensor:
    """(1 + side * side, width): a = -3/4, edges repeated, no antialias: torch's bicubic without aligned corners."""
    old = math.isqrt(embedding.shape[1] - 1)
    table = torch.tensor(_weights(old, side, -0.75, antialias=False, beyond="repeat"), dtype=torch.float32)
    grid = embedding[0, 1:].float().reshape(old, old, -1)
    return torch.cat([embedding[0, :1].float(), torch.einsum("ya,xb,abw->yxw", table, table, grid).flatten(0, 1)])


def encode(eva: dict[str, torch.Tensor], pixels: torch.Tensor) -> torch.Tensor:
    """(1 + patches, width), after ln_vision, which the published checkpoint leaves at the identity."""
    table = {key: value.float() for key, value in eva.items()}
    width, grid = table["cls_token"].shape[-1], SIDE // PATCH
    kernel = table["patch_embed.proj.weight"].reshape(width, -1)
    tokens = [table["cls_token"][0, 0]]
    for row in range(grid):
        for column in range(grid):
            tile = pixels[:, row * PATCH : (row + 1) * PATCH, column * PATCH : (column + 1) * PATCH]
            tokens.append(kernel @ tile.reshape(-1) + table["patch_embed.proj.bias"])
    x = torch.stack(tokens) + positions(table["pos_embed"], grid)
    size = width // HEADS
    for number in range(LAYERS):
        part = {key.split(".", 2)[2]: value for key, value in table.items() if key.startswith(f"blocks.{number}.")}
        y = _norm(x, part["norm1.weight"], part["norm1.bias"], 1e-6)
        queries, keys, values = (y @ one.T for one in part["attn.qkv.weight"].split(width))
        queries, values = queries + part["attn.q_bias"], values + part["attn.v_bias"]
        heads = []
        for head in range(HEADS):
            of = slice(head * size, (head + 1) * size)
            scores = queries[:, of] @ keys[:, of].T / size**0.5
            heads.append(scores.softmax(-1) @ values[:, of])
        x = x + torch.cat(heads, -1) @ part["attn.proj.weight"].T + part["attn.proj.bias"]
        y = _norm(x, part["norm2.weight"], part["norm2.bias"], 1e-6)
        y = y @ part["mlp.fc1.weight"].T + part["mlp.fc1.bias"]
        y = y * 0.5 * (1 + torch.erf(y / 2**0.5))
        x = x + y @ part["mlp.fc2.weight"].T + part["mlp.fc2.bias"]
    return _norm(x, torch.ones(width), torch.zeros(width), 1e-5)


def project(checkpoint: dict[str, torch.Tensor], patches: torch.Tensor) -> torch.Tensor:
    """Four raster neighbours each; patches: without the class token."""
    rows = [torch.cat(list(patches[start : start + 4])) for start in range(0, len(patches), 4)]
    return torch.stack(rows) @ checkpoint["llama_proj.weight"].T + checkpoint["llama_proj.bias"]


def prompt_ids(text: str) -> tuple[list[int], list[int]]:
    """Both sides of the picture, each segment tokenized for itself with its dummy prefix; two BOS."""
    pieces = SentencePieceProcessor(model_file=str(TOKENIZER))
    return [1, 1, *pieces.encode("[INST] <Img>")], pieces.encode(f"</Img> {text} [/INST]")


def splice(llama: dict[str, torch.Tensor], picture_tokens: torch.Tensor, text: str) -> torch.Tensor:
    """(places, hidden)."""
    table = llama["model.embed_tokens.weight"].float()
    before, after = (table[ids] for ids in prompt_ids(text))
    return torch.cat([before, picture_tokens, after])


def _rms(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight


def _turn(x: torch.Tensor) -> torch.Tensor:
    """Rotary positions (Su et al. 2021) of (places, size), halves paired as in the converted Llama weights."""
    half = x.shape[1] // 2
    angles = torch.arange(len(x))[:, None] * 10000.0 ** (-torch.arange(half) / half)
    first, second = x[:, :half], x[:, half:]
    return torch.cat(
        [first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()], dim=-1
    )


def logits(files: Files, x: torch.Tensor) -> torch.Tensor:
    """(places, vocabulary) for spliced embeddings; the adapters run beside the weights, unmerged."""
    table = {key: value.float() for key, value in files.llama.items()}
    size = CONFIG["hidden_size"] // CONFIG["num_attention_heads"]
    causal = torch.full((len(x), len(x)), float("-inf")).triu(1)
    for number in range(CONFIG["num_hidden_layers"]):
        layer = f"model.layers.{number}."

        def _through(y: torch.Tensor, name: str, layer: str = layer) -> torch.Tensor:
            out = y @ table[f"{layer}self_attn.{name}_proj.weight"].T
            if name in "qv":
                adapter = f"llama_model.base_model.model.{layer}self_attn.{name}_proj.lora_"
                down, up = (files.checkpoint[f"{adapter}{one}.weight"] for one in "AB")
                out = out + 16 / RANK * (y @ down.T @ up.T)
            return out

        y = _rms(x, table[f"{layer}input_layernorm.weight"])
        queries, keys, values = (_through(y, name).split(size, dim=-1) for name in "qkv")
        heads = [
            (_turn(query) @ _turn(key).T / size**0.5 + causal).softmax(-1) @ value
            for query, key, value in zip(queries, keys, values, strict=True)
        ]
        x = x + _through(torch.cat(heads, -1), "o")
        y = _rms(x, table[f"{layer}post_attention_layernorm.weight"])
        gate = functional.silu(y @ table[f"{layer}mlp.gate_proj.weight"].T)
        x = x + (gate * (y @ table[f"{layer}mlp.up_proj.weight"].T)) @ table[f"{layer}mlp.down_proj.weight"].T
    return _rms(x, table["model.norm.weight"]) @ table["lm_head.weight"].T


def greedy(files: Files, embeddings: torch.Tensor, most: int) -> list[int]:
    """Up to `most` ids, the stop (2) included; it may not come first."""
    ids: list[int] = []
    while len(ids) < most and 2 not in ids:
        last = logits(files, embeddings)[-1]
        if not ids:
            last[2] = float("-inf")
        ids.append(int(last.argmax()))
        following = files.llama["model.embed_tokens.weight"].float()[ids[-1]]
        embeddings = torch.cat([embeddings, following[None]])
    return ids


def stages(files: Files, image: np.ndarray, text: str = TEXT) -> dict[str, torch.Tensor]:
    """Each stage's result for one picture."""
    pixels = prepare(squash(image))
    seen = encode(files.eva, pixels)
    projected = project(files.checkpoint, seen[1:])
    spliced = splice(files.llama, projected, text)
    return {
        "pixels": pixels,
        "encoder": seen,
        "projection": projected,
        "splice": spliced,
        "logits": logits(files, spliced),
    }


def sampled(tensor: torch.Tensor, count: int = 24) -> list[float]:
    """Values evenly spread over a tensor, and its mean and deviation."""
    flat = tensor.detach().float().flatten()
    places = torch.linspace(0, len(flat) - 1, count).long()
    return [round(float(value), 6) for value in (*flat[places], flat.mean(), flat.std())]


def main() -> None:
    torch.set_num_threads(1)
    files, image = make_files(), picture(GOLDEN_PICTURE)
    found = stages(files, image)
    golden = {name: sampled(tensor) for name, tensor in found.items()}
    golden["shapes"] = {name: list(tensor.shape) for name, tensor in found.items()}
    golden["greedy"] = greedy(files, found["splice"], 12)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in golden.items())
    GOLDEN.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
