"""Settings of the whisper service."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from merrflow_serving.catalog import SERVICES
from merrflow_serving.errors import NotReady
from merrflow_serving.openai.settings import OpenAISettings
from merrflow_serving.torch.settings import TorchSettings


class WhisperSettings(TorchSettings, OpenAISettings):
    """Environment variables `MERRFLOW_WHISPER_<FIELD>`."""

    model_config = SettingsConfigDict(extra="ignore", env_prefix=SERVICES["whisper"].env_prefix)

    model: str = Field(
        "",
        description="weights: an entry of `merrflow models list`, or a repository as organisation/name[@revision]; "
        "empty for the engine's default (faster_whisper: faster-whisper-base, transformers: whisper-base)",
    )
    language: str = Field(
        "", pattern="^([a-z]{2,3})?$", description="the language spoken, such as `zh`; empty: the model finds out"
    )
    max_seconds: float = Field(600.0, gt=0, description="longest recording; a longer one is refused")
    rules: str = Field(
        "", description="path of a YAML file instead of the packaged recognition.yaml: decoding, and what is rejected"
    )
    compute_type: Literal["auto", "int8", "int8_float16", "float16", "float32"] = Field(
        "auto", description="for the engine faster_whisper; auto: int8 on a CPU, float16 on a card"
    )
    threads: int = Field(0, ge=0, description="threads on a CPU; 0 for all cores")
    lanes: int = Field(1, ge=1, le=16, description="for the engine faster_whisper: recordings at the same time")

    def check_language(self, known: Collection[str]) -> None:
        """Raises `NotReady` if the model knows no such language as the one that is set."""
        if self.language and self.language not in known:
            raise NotReady(
                f"{self.variable('LANGUAGE')}: the model knows no language {self.language!r}; it knows "
                f"{', '.join(sorted(known))}",
                reason="LANGUAGE_UNKNOWN",
            )
