"""The tone service: one sentence on how a voice sounds."""

from __future__ import annotations

from merrflow_qwen_audio.service import register, warmup_item
from merrflow_qwen_audio.settings import QwenAudioSettings
from merrflow_qwen_audio.types import Content, Measurement, Outcome, Span, Tone, ToneItem
from merrflow_serving.service import ServiceSpec

__all__ = ["SPEC", "Content", "Measurement", "Outcome", "QwenAudioSettings", "Span", "Tone", "ToneItem"]

SPEC = ServiceSpec(
    name="qwen-audio",
    version="0.1.0",
    settings=QwenAudioSettings,
    engines={
        "prosody": "merrflow_qwen_audio.engines.prosody:ProsodyEngine",
        "qwen_audio": "merrflow_qwen_audio.engines.qwen_audio.engine:QwenAudioEngine",
        "qwen2_audio": "merrflow_qwen_audio.engines.qwen2_audio.engine:Qwen2AudioEngine",
        "openai": "merrflow_qwen_audio.engines.openai.engine:OpenAITones",
    },
    register=register,
    warmup=warmup_item,
    results={ToneItem: Tone},
)
