"""Whisper's log-mel spectrogram, for many recordings at once on the model's own device.

Radford et al. (2022), Robust Speech Recognition via Large-Scale Weak Supervision; the same numbers as
`transformers.WhisperFeatureExtractor`, which computes them one by one on the CPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers.audio_utils import mel_filter_bank

from merrflow_qwen_audio.arrays import Samples

SAMPLE_RATE = 16_000  # Hz
N_FFT = 400  # 25 ms
HOP = 160  # 10 ms
FRAMES = 3_000  # of the encoder's input: 30 s
SAMPLES = FRAMES * HOP
FLOOR = 1e-10  # of power, before the logarithm
RANGE = 8.0  # decades below the loudest cell of a recording


class LogMel:
    """From (samples,) at 16 kHz to (bins, 3000) float32. A recording's result does not depend on its batch."""

    def __init__(self, bins: int, device: torch.device) -> None:
        """bins: 80 for Whisper large-v2 and Qwen-Audio, 128 for large-v3 and Qwen2-Audio."""
        filters = mel_filter_bank(1 + N_FFT // 2, bins, 0.0, 8_000.0, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
        self._filters = torch.from_numpy(filters.T.astype(np.float32)).contiguous().to(device)
        self._window = torch.hann_window(N_FFT, device=device)
        self._device = device

    def __call__(self, recordings: Sequence[Samples]) -> torch.Tensor:
        """(recordings, bins, 3000) float32 on the device. Shorter recordings are followed by silence.

        Raises `ValueError` for a recording of more than 30 s; the caller must split it.
        """
        padded = np.zeros((len(recordings), SAMPLES), np.float32)
        for row, samples in zip(padded, recordings, strict=True):
            if samples.size > SAMPLES:
                raise ValueError(f"{samples.size} samples are more than the {SAMPLES} that the encoder takes")
            row[: samples.size] = samples
        spectrum = torch.stft(
            torch.from_numpy(padded).to(self._device), N_FFT, HOP, window=self._window, return_complex=True
        )
        power = spectrum[..., :-1].abs().square()
        decades = (self._filters @ power).clamp(min=FLOOR).log10()
        loudest = decades.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(decades, loudest - RANGE) + 4.0) / 4.0
