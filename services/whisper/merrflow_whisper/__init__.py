"""The speech recognition service: what is said in a recording."""

from __future__ import annotations

from merrflow_serving.service import ServiceSpec
from merrflow_whisper.service import register, warmup_item
from merrflow_whisper.settings import WhisperSettings
from merrflow_whisper.types import Outcome, Segment, SpeechItem, Transcript

__all__ = ["SPEC", "Outcome", "Segment", "SpeechItem", "Transcript", "WhisperSettings"]

SPEC = ServiceSpec(
    name="whisper",
    version="0.1.0",
    settings=WhisperSettings,
    engines={
        "faster_whisper": "merrflow_whisper.engines.faster_whisper:FasterWhisperEngine",
        "transformers": "merrflow_whisper.engines.transformers:TransformersEngine",
        "openai": "merrflow_whisper.engines.openai.engine:OpenAITranscripts",
    },
    register=register,
    warmup=warmup_item,
    results={SpeechItem: Transcript},
)
