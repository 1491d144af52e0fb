"""Settings of the qwen-audio service."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from merrflow_serving.catalog import SERVICES
from merrflow_serving.settings import ServiceSettings


class QwenAudioSettings(ServiceSettings):
    """Environment variables `MERRFLOW_QWEN_AUDIO_<FIELD>`."""

    model_config = SettingsConfigDict(extra="ignore", env_prefix=SERVICES["qwen-audio"].env_prefix)

    max_seconds: float = Field(600.0, gt=0, description="longest recording; a longer one is refused")
