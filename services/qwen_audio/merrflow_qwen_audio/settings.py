"""Settings of the qwen-audio service."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from merrflow_serving.catalog import SERVICES
from merrflow_serving.openai.settings import OpenAISettings
from merrflow_serving.torch.settings import TorchSettings


class QwenAudioSettings(TorchSettings, OpenAISettings):
    """Environment variables `MERRFLOW_QWEN_AUDIO_<FIELD>`."""

    model_config = SettingsConfigDict(extra="ignore", env_prefix=SERVICES["qwen-audio"].env_prefix)

    max_seconds: float = Field(600.0, gt=0, description="longest recording; a longer one is refused")
    variant: Literal["chat", "base"] = Field(
        "chat", description="for the engine qwen_audio: Qwen-Audio-Chat, or Qwen-Audio, which knows task tags only"
    )
    prompt: str = Field(
        "",
        description="for audio-language models: a packaged prompt (`tone_list`, the closed list of MERR's authors; "
        "`tone_free`; `emotion_keyword`, for the variant base), or path of a YAML file; empty for `tone_list`, and "
        "`emotion_keyword` with the variant base",
    )
    decoding: Literal["greedy", "published"] = Field(
        "greedy",
        description="how an audio-language model's words are chosen: always the likeliest, or drawn as its authors "
        "published it, by the generation_config.json of its weights",
    )
    seed: int = Field(
        0, ge=0, lt=1 << 32, description="for `published`; the same recording and question get the same answer"
    )
    answer_tokens: int = Field(
        0, ge=0, le=1024, description="longest answer; 0 for the prompt file's own limit, or the model's if `published`"
    )
    ask_about: Literal["speech", "sound"] = Field(
        "speech",
        description="speech: a model is asked only if somebody speaks; sound: about laughter, cries, music too",
    )
