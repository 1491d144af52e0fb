"""The engine `qwen2_audio`: Qwen2-Audio-7B-Instruct (Apache-2.0) on its own class of transformers.

Chu et al. (2024), Qwen2-Audio Technical Report. Where the licence of the first Qwen-Audio is in the way, this one goes
in its place; it is not the model that MERR's tones are from.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from merrflow_qwen_audio.engines.listening.engine import ListeningEngine

if TYPE_CHECKING:
    import torch

    from merrflow_qwen_audio.engines.listening.engine import Shape
    from merrflow_qwen_audio.engines.listening.model import Listener


class Qwen2AudioEngine(ListeningEngine):
    """See `ListeningEngine`."""

    name = "qwen2_audio"

    @property
    def entry(self) -> str:
        return "qwen2-audio-7b-instruct"

    @property
    def model_name(self) -> str:
        return "Qwen2-Audio-7B-Instruct"

    def shape(self, folder: Path) -> Shape:
        from merrflow_qwen_audio.engines.qwen2_listener import read_config, without_data

        config = read_config(folder)
        return without_data(config), config.text_config, config.audio_config

    def open(self, folder: Path, *, device: torch.device, dtype: torch.dtype, attention: str) -> Listener:
        from merrflow_qwen_audio.engines.qwen2_listener import Qwen2Audio

        return Qwen2Audio(folder, device=device, dtype=dtype, attention=attention)
