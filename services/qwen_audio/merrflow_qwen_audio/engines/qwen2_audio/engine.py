"""The engine `qwen2_audio`: Qwen2-Audio-7B-Instruct (Apache-2.0) on its own class of transformers.

Chu et al. (2024), Qwen2-Audio Technical Report. It can be used if the licence of the first Qwen-Audio is
a problem; it is not the model that MERR's tones are from.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from merrflow_qwen_audio.engines.audio_language.engine import AudioLanguageEngine

if TYPE_CHECKING:
    import torch

    from merrflow_qwen_audio.engines.audio_language.engine import Shape
    from merrflow_qwen_audio.engines.audio_language.model import AudioLanguageModel


class Qwen2AudioEngine(AudioLanguageEngine):
    """See `AudioLanguageEngine`."""

    name = "qwen2_audio"

    @property
    def entry(self) -> str:
        return "qwen2-audio-7b-instruct"

    @property
    def model_name(self) -> str:
        return "Qwen2-Audio-7B-Instruct"

    def shape(self, folder: Path) -> Shape:
        from merrflow_qwen_audio.engines.qwen2_audio.model import parts_of, read_config, without_data

        config = read_config(folder)
        return without_data(config), *parts_of(config)

    def open(self, folder: Path, *, device: torch.device, dtype: torch.dtype, attention: str) -> AudioLanguageModel:
        from merrflow_qwen_audio.engines.qwen2_audio.model import Qwen2AudioModel

        return Qwen2AudioModel(folder, device=device, dtype=dtype, attention=attention)
