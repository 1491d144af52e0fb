"""Settings of every engine that runs on torch. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from merrflow_serving.catalog import SERVICES
from merrflow_serving.settings import ServiceSettings
from merrflow_serving.weights.places import default_hub, default_models_dir, default_offline

DEVICES = r"auto|cpu|cuda(:\d{1,3})?"


class TorchSettings(ServiceSettings):
    """Where weights come from, and what computes. A service adds its own options in a subclass.

    `models_dir`, `hub` and `offline` may be set for one service (`MERRFLOW_LLAMA3_MODELS_DIR`) or for all at once
    (`MERRFLOW_MODELS_DIR`, `MERRFLOW_HUB`, `MERRFLOW_OFFLINE`).
    """

    cuda_dtype: ClassVar[Literal["bfloat16", "float16"]] = "bfloat16"  # what `dtype` "auto" is on CUDA

    weights: str = Field(
        "", description="a local folder with the weights; empty: below models_dir, pulled from the hub if absent"
    )
    hub: Literal["huggingface", "modelscope"] = Field(
        default_factory=default_hub, description="where weights are pulled from"
    )
    models_dir: Path = Field(default_factory=default_models_dir, description="folder that keeps pulled weights")
    offline: bool = Field(default_factory=default_offline, description="never connect to a hub")
    device: str = Field("auto", pattern=f"^({DEVICES})$", description="auto, cpu, cuda, or cuda:1; auto: cuda if any")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="number format of the weights; auto: on CUDA bfloat16 if the card has it (the engine minigpt_v2: "
        "float16, as published), float32 on CPU",
    )
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = Field(
        "auto", description="attention code; auto: flash_attention_2 if it is installed and the card supports it"
    )

    @property
    def service(self) -> str:
        """The service whose settings these are, as in the catalog; "" outside of one."""
        prefix = self.model_config.get("env_prefix", "")
        return next((name for name, one in SERVICES.items() if one.env_prefix == prefix), "")

    @field_validator("models_dir")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        return Path(os.path.abspath(folder.expanduser()))

    @field_validator("weights")
    @classmethod
    def _expand(cls, folder: str) -> str:
        return os.path.abspath(os.path.expanduser(folder)) if folder else ""
