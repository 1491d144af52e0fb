"""The engine `qwen_audio`: Qwen-Audio-Chat, or Qwen-Audio with its task tags."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from merrflow_qwen_audio.engines.audio_language.engine import AudioLanguageEngine

if TYPE_CHECKING:
    import torch

    from merrflow_qwen_audio.engines.audio_language.engine import Shape
    from merrflow_qwen_audio.engines.audio_language.model import AudioLanguageModel


class QwenAudioEngine(AudioLanguageEngine):
    """Chu et al. (2023), Qwen-Audio; the model that MERR's tones are from. See `AudioLanguageEngine`."""

    name = "qwen_audio"

    @property
    def entry(self) -> str:
        return "qwen-audio-chat" if self._chat else "qwen-audio"

    @property
    def model_name(self) -> str:
        return "Qwen-Audio-Chat" if self._chat else "Qwen-Audio"

    @property
    def default_prompt(self) -> str:
        return "tone_list" if self._chat else "emotion_keyword"

    @property
    def _chat(self) -> bool:
        return self._settings.variant == "chat"

    def shape(self, folder: Path) -> Shape:
        from merrflow_qwen_audio.engines.qwen_audio.config import read_shape
        from merrflow_qwen_audio.engines.qwen_audio.modules import without_data

        parts = without_data(read_shape(folder))
        return parts, parts.language.config, parts.tower.config

    def open(self, folder: Path, *, device: torch.device, dtype: torch.dtype, attention: str) -> AudioLanguageModel:
        from merrflow_qwen_audio.engines.qwen_audio.model import QwenAudioModel

        return QwenAudioModel(folder, chat=self._chat, device=device, dtype=dtype, attention=attention)
