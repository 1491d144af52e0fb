"""Qwen-Audio in plain torch functions over a checkpoint's own names, one recording at a time.

Written from the published architecture, for the tests: nothing here is shared with the engine. Whisper's encoder
(Radford et al. 2022) with an average over two steps before its last norm; a decoder with RMS norms, rotary positions
and a gated MLP (Bai et al. 2023, Qwen Technical Report).
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

RATE = 16_000
Weights = dict[str, Tensor]


def mel_filters(bins: int) -> np.ndarray:
    """(bins, 201): triangles on Slaney's scale (linear to 1 kHz, then logarithmic), each of area 2 / width."""
    step, knee = 200.0 / 3.0, 1_000.0
    ratio = math.log(6.4) / 27.0

    def to_hertz(mel: float) -> float:
        return mel * step if mel < knee / step else knee * math.exp(ratio * (mel - knee / step))

    top = knee / step + math.log(8_000.0 / knee) / ratio
    edges = [to_hertz(top * number / (bins + 1)) for number in range(bins + 2)]
    found = np.zeros((bins, 201))
    for number, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for k in range(201):
            hertz = k * RATE / 400
            rise, fall = (hertz - low) / (middle - low), (high - hertz) / (high - middle)
            found[number, k] = max(0.0, min(rise, fall)) * 2.0 / (high - low)
    return found


def log_mel(samples: np.ndarray, bins: int = 80) -> np.ndarray:
    """(bins, 3000): padded to 30 s with zeros, frames of 25 ms every 10 ms, reflected at the ends."""
    padded = np.zeros(30 * RATE)
    padded[: samples.size] = samples
    padded = np.pad(padded, 200, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(400) / 400)
    frames = np.lib.stride_tricks.sliding_window_view(padded, 400)[::160][:3_000]
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    decades = np.log10(np.maximum(mel_filters(bins) @ power.T, 1e-10))
    return (np.maximum(decades, decades.max() - 8.0) + 4.0) / 4.0


def steps_of(samples: int) -> int:
    """Steps of 20 ms that a recording has: whole frames of 10 ms, halved upwards."""
    return (samples // 160 + 1) // 2


def tower(weights: Weights, samples: np.ndarray, heads: int) -> Tensor:
    """(tokens, width): the canvas is cut to the recording, as the authors' code does for a single one."""
    w = {key.removeprefix("transformer.audio."): value for key, value in weights.items()}
    steps = steps_of(samples.size)
    mel = torch.from_numpy(log_mel(samples)).float()[None, :, : 2 * steps]
    x = F.gelu(F.conv1d(mel, w["conv1.weight"], w["conv1.bias"], padding=1))
    x = F.gelu(F.conv1d(x, w["conv2.weight"], w["conv2.bias"], stride=2, padding=1))
    x = x[0].T + w["positional_embedding"][:steps]
    layer = 0
    while f"blocks.{layer}.attn_ln.weight" in w:
        b = f"blocks.{layer}."
        h = F.layer_norm(x, x.shape[-1:], w[b + "attn_ln.weight"], w[b + "attn_ln.bias"])
        q = h @ w[b + "attn.query.weight"].T + w[b + "attn.query.bias"]
        k = h @ w[b + "attn.key.weight"].T
        v = h @ w[b + "attn.value.weight"].T + w[b + "attn.value.bias"]
        x = x + attention(q, k, v, heads) @ w[b + "attn.out.weight"].T + w[b + "attn.out.bias"]
        h = F.layer_norm(x, x.shape[-1:], w[b + "mlp_ln.weight"], w[b + "mlp_ln.bias"])
        h = F.gelu(h @ w[b + "mlp.0.weight"].T + w[b + "mlp.0.bias"])
        x = x + h @ w[b + "mlp.2.weight"].T + w[b + "mlp.2.bias"]
        layer += 1
    x = x[: len(x) // 2 * 2].reshape(len(x) // 2, 2, -1).mean(1)
    return F.layer_norm(x, x.shape[-1:], w["ln_post.weight"], w["ln_post.bias"])


def project(weights: Weights, heard: Tensor) -> Tensor:
    """(tokens + 2, hidden): projected, between the two learned marks."""
    ends = weights["transformer.audio.audio_bos_eos_token.weight"]
    middle = heard @ weights["transformer.audio.proj.weight"].T + weights["transformer.audio.proj.bias"]
    return torch.cat((ends[:1], middle, ends[1:]))


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, causal: bool = False) -> Tensor:
    """(tokens, width) each; softmax of the scaled products, head by head."""
    size = q.shape[1] // heads
    outs = []
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        scores = q[:, part] @ k[:, part].T / math.sqrt(size)
        if causal:
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf)
        outs.append(scores.softmax(-1) @ v[:, part])
    return torch.cat(outs, 1)


def rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight


def rotated(x: Tensor, heads: int, theta: float) -> Tensor:
    """Every head's first half is turned against its second by angles that grow with the position."""
    tokens, width = x.shape
    half = width // heads // 2
    angles = torch.arange(tokens)[:, None] / theta ** (torch.arange(half) / half)
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    a, b = x.view(tokens, heads, 2, half).unbind(2)
    return torch.stack((a * cos - b * sin, b * cos + a * sin), 2).reshape(tokens, width)


def logits(weights: Weights, x: Tensor, heads: int, *, eps: float, theta: float) -> Tensor:
    """(tokens, hidden) -> (tokens, vocabulary)."""
    layer = 0
    while f"transformer.h.{layer}.ln_1.weight" in weights:
        b = f"transformer.h.{layer}."
        h = rms(x, weights[b + "ln_1.weight"], eps)
        q, k, v = (h @ weights[b + "attn.c_attn.weight"].T + weights[b + "attn.c_attn.bias"]).chunk(3, 1)
        h = attention(rotated(q, heads, theta), rotated(k, heads, theta), v, heads, causal=True)
        x = x + h @ weights[b + "attn.c_proj.weight"].T
        h = rms(x, weights[b + "ln_2.weight"], eps)
        h = (h @ weights[b + "mlp.w1.weight"].T) * F.silu(h @ weights[b + "mlp.w2.weight"].T)
        x = x + h @ weights[b + "mlp.c_proj.weight"].T
        layer += 1
    return rms(x, weights["transformer.ln_f.weight"], eps) @ weights["lm_head.weight"].T


def greedy(
    weights: Weights, prompt: Tensor, heads: int, stop: set[int], limit: int, *, eps: float, theta: float
) -> list[int]:
    """Token after token, without a cache."""
    ids: list[int] = []
    while len(ids) < limit:
        best = int(logits(weights, prompt, heads, eps=eps, theta=theta)[-1].argmax())
        if best in stop:
            break
        ids.append(best)
        prompt = torch.cat((prompt, weights["transformer.wte.weight"][best][None]))
    return ids
