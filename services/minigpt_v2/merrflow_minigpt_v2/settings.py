"""Settings of the scene service."""

from __future__ import annotations

import os
from typing import ClassVar, Literal

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from merrflow_serving.catalog import SERVICES
from merrflow_serving.openai.settings import OpenAISettings
from merrflow_serving.torch.settings import TorchSettings


class MiniGptSettings(TorchSettings, OpenAISettings):
    """Environment variables start with `MERRFLOW_MINIGPT_V2_`.

    All but `max_pixels` and `max_context` concern the engine `minigpt_v2`. Its three sets of weights are in
    `models_dir`, or in `weights`: all files together, or in the folders `minigpt-v2`, `eva-vit-g` and
    `llama-2-7b-chat`.
    """

    model_config = SettingsConfigDict(env_prefix=SERVICES["minigpt-v2"].env_prefix, extra="ignore")

    # The authors run tower and language model under float16 autocast; bfloat16 changes answers after a few words.
    cuda_dtype: ClassVar[Literal["bfloat16", "float16"]] = "float16"

    max_pixels: int = Field(
        40_000_000,
        ge=1,
        description="largest frame, width times height; all frames of context together may have as many",
    )
    max_context: int = Field(16, ge=0, description="most frames of context in one request")
    vision_weights: str = Field("", description="a local folder with eva_vit_g.pth; empty: see `weights`")
    language_weights: str = Field("", description="a local folder of Llama-2-7b-chat-hf; empty: see `weights`")
    prompt: str = Field(
        "merr_words",
        description="name of a packaged prompt (`merr_words`, `merr_content`, `grounding`), or path of a YAML file",
    )
    decoding: Literal["greedy", "demo"] = Field("greedy", description="`demo` samples, as the authors' demo does")
    seed: int = Field(
        0, ge=0, lt=1 << 32, description="for sampling; the same picture and question get the same answer"
    )
    answer_tokens: int = Field(0, ge=0, description="longest answer; 0 for the prompt file's own limit")
    max_instruction_tokens: int = Field(256, ge=16, description="longest instruction of a request")
    encoder_batch: int = Field(16, ge=1, description="pictures that the vision tower takes at once")

    openai_frames: int = Field(
        1, ge=1, le=32, description="engine openai: pictures in a question; beyond the frame itself, those around it"
    )

    @field_validator("vision_weights", "language_weights")
    @classmethod
    def _absolute_folder(cls, folder: str) -> str:
        return os.path.abspath(os.path.expanduser(folder)) if folder else ""
