"""The scene service: one or two plain sentences on what a video frame shows."""

from __future__ import annotations

from merrflow_minigpt_v2.service import register, warmup_item
from merrflow_minigpt_v2.settings import MiniGptSettings
from merrflow_minigpt_v2.types import ContextFrame, Measurement, Outcome, Scene, SceneItem
from merrflow_serving.service import ServiceSpec

__all__ = ["SPEC", "ContextFrame", "Measurement", "MiniGptSettings", "Outcome", "Scene", "SceneItem"]

SPEC = ServiceSpec(
    name="minigpt-v2",
    version="0.1.0",
    settings=MiniGptSettings,
    engines={
        "measured": "merrflow_minigpt_v2.engines.measured.engine:MeasuredEngine",
        "minigpt_v2": "merrflow_minigpt_v2.engines.minigpt_v2.engine:MiniGptV2",
        "openai": "merrflow_minigpt_v2.engines.openai.engine:OpenAIScenes",
    },
    register=register,
    warmup=warmup_item,
    results={SceneItem: Scene},
)
