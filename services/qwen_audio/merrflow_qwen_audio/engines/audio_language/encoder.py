"""Whisper-shaped audio encoders with a fixed input length, so that a recording's result does not depend on its batch.

Qwen2AudioEncoder of transformers is the tower of both Qwen-Audio and Qwen2-Audio: convolutions (25 ms frames every
10 ms, then every 20 ms), transformer layers, average over two steps, layer norm. Chu et al. (2023), Qwen-Audio:
Advancing Universal Audio Understanding via Unified Large-Scale Audio-Language Models; Chu et al. (2024), Qwen2-Audio
Technical Report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from merrflow_qwen_audio.engines.audio_language.mel import FRAMES, HOP, LogMel

if TYPE_CHECKING:
    from transformers.models.qwen2_audio.modeling_qwen2_audio import Qwen2AudioEncoder

    from merrflow_qwen_audio.arrays import Samples

LEAST_SAMPLES = 4 * HOP  # that give one token; less gives none


@dataclass(frozen=True)
class Lengths:
    """The length of a recording at each stage of the encoder."""

    mel: int  # frames of 10 ms
    steps: int  # of 20 ms, after the convolutions
    tokens: int  # of 40 ms, after the average


def lengths(samples: int, *, round_up: bool) -> Lengths:
    """round_up: whether a partial frame counts, as for Qwen2-Audio; Qwen-Audio drops it."""
    mel = -(-samples // HOP) if round_up else samples // HOP
    steps = (mel + 1) // 2
    return Lengths(mel, steps, steps // 2)


@dataclass(frozen=True)
class Canvas:
    """How the input of an encoder of the family is made."""

    bins: int
    round_up: bool
    # The reference code of Qwen-Audio cuts the input to the longest recording of a batch before the convolutions, so
    # for a single recording what follows its end is zero and not silence. Here it is set to zero, in any batch.
    blank: bool


class Encoder:
    """From recordings to one row of hidden states for every 40 ms."""

    def __init__(self, module: Qwen2AudioEncoder, canvas: Canvas, device: torch.device) -> None:
        self.module = module
        self._canvas = canvas
        self._mel = LogMel(canvas.bins, device)
        self._positions = torch.arange(FRAMES, device=device)

    def tokens(self, samples: int) -> int:
        """How many rows a recording of `samples` samples gives."""
        return lengths(samples, round_up=self._canvas.round_up).tokens

    @torch.inference_mode()
    def __call__(self, recordings: Sequence[Samples]) -> list[torch.Tensor]:
        """[(tokens, width)] in the module's dtype, before any projection."""
        found = [lengths(samples.size, round_up=self._canvas.round_up) for samples in recordings]
        steps = torch.tensor([one.steps for one in found], device=self._positions.device)
        mel = self._mel(recordings)
        if self._canvas.blank:
            mel = mel.masked_fill(self._positions >= 2 * steps[:, None, None], 0.0)
        hidden = self.module(mel, attention_mask=self._key_mask(steps)).last_hidden_state
        return [row[: one.tokens] for row, one in zip(hidden, found, strict=True)]

    def _key_mask(self, steps: torch.Tensor) -> torch.Tensor:
        """Masks what follows the end of a recording, in the form that the attention implementation takes.

        It is needed for full recordings too: without it another kernel would run, with other rounding.
        """
        config = self.module.config
        valid = self._positions[: config.max_source_positions] < steps[:, None]
        if config._attn_implementation == "flash_attention_2":
            return valid.long()  # (recordings, steps)
        dtype = self.module.conv1.weight.dtype
        hidden = torch.zeros(valid.shape, dtype=dtype, device=valid.device).masked_fill(~valid, torch.finfo(dtype).min)
        return hidden[:, None, None, :].expand(-1, 1, valid.shape[1], -1)
