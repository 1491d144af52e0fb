"""The scene service: one or two plain sentences on what a video frame shows."""

from merrflow_minigpt_v2.service import register, warmup
from merrflow_minigpt_v2.settings import MiniGptSettings
from merrflow_serving.service import ServiceSpec

SPEC = ServiceSpec(
    name="minigpt-v2",
    version="0.1.0",
    settings=MiniGptSettings,
    engines={
        "measured": "merrflow_minigpt_v2.engines.measured:MeasuredEngine",
        "minigpt_v2": "merrflow_minigpt_v2.engines.minigpt_v2.engine:MiniGptV2",
    },
    proto="merrflow.minigpt_v2.v1.SceneDescriber",
    register=register,
    warmup=warmup,
)
