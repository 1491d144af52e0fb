"""The qwen-audio service of merrflow: one sentence on how a voice sounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from merrflow_qwen_audio.settings import QwenAudioSettings
from merrflow_qwen_audio.warmup import warmup_item
from merrflow_serving.catalog import SERVICES
from merrflow_serving.service import Service, ServiceSpec

if TYPE_CHECKING:
    import grpc

__version__ = "0.1.0"


def _register(service: Service, server: grpc.aio.Server) -> None:
    from merrflow_qwen_audio.service import register

    register(service, server)


SPEC = ServiceSpec(
    name="qwen-audio",
    version=__version__,
    settings=QwenAudioSettings,
    engines={
        "prosody": "merrflow_qwen_audio.engines.prosody:ProsodyEngine",
        "qwen_audio": "merrflow_qwen_audio.engines.qwen_audio.engine:QwenAudioEngine",
        "qwen2_audio": "merrflow_qwen_audio.engines.qwen2_audio:Qwen2AudioEngine",
    },
    proto=SERVICES["qwen-audio"].proto,
    register=_register,
    warmup=warmup_item,
)
