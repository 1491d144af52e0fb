"""Settings of the llama3 service."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from merrflow_serving.catalog import SERVICES
from merrflow_serving.openai.settings import OpenAISettings
from merrflow_serving.torch.settings import TorchSettings


class Llama3Settings(TorchSettings, OpenAISettings):
    """Environment variables start with `MERRFLOW_LLAMA3_`."""

    model_config = SettingsConfigDict(env_prefix=SERVICES["llama3"].env_prefix, extra="ignore", protected_namespaces=())

    model: str = Field(
        "llama-3-8b-instruct",
        description="weights of the engines `transformers` and `vllm`: an entry of `merrflow models list`, or a "
        "repository as organisation/name[@revision]; not used if `weights` names a folder or a GGUF file",
    )
    model_path: Path | None = Field(
        None, description="a GGUF file for the engine `llamacpp`; unset for the packaged SmolLM2-135M-Instruct"
    )
    prompt: str = Field(
        "",
        description="name of a packaged prompt (`grounded`, `merr`, `small`), or path of a YAML file; empty for "
        "`small` with the packaged model of the engine `llamacpp` and `grounded` with any other",
    )
    score_prompt: str = Field(
        "",
        description="the prompt for scoring labels (`score`, `score_small`) or for judging claims (`judge`), or path "
        "of a YAML file; empty for `score_small` with the packaged model of the engine `llamacpp` and `score` with any "
        "other",
    )
    translate_prompt: str = Field(
        "translate",
        description="the prompt for translating subtitles (`translate`), or path of a YAML file; not used with the "
        "packaged model of the engine `llamacpp`, which does not translate",
    )
    threads: int = Field(0, ge=0, le=256, description="0: physical cores of this process, at most 4")
    context_tokens: int = Field(
        2048,
        ge=256,
        description="tokens of prompt and answer together; in `llamacpp` for reasoning and for scoring each",
    )
    max_clue_characters: int = Field(
        32_768,
        ge=1,
        description="longest clues of a request, including labels to score; longer ones are refused before anything is "
        "done with the text. The default is more than the 8,192 tokens of LLaMA-3 hold",
    )
    answer_tokens: int = Field(0, ge=0, description="longest answer; 0 for the prompt file's own limit")
    attempts: int = Field(
        3, ge=1, le=20, description="answers to generate, each with a seed of its own, until one passes the checks"
    )
    gpu_share: float = Field(
        0,
        ge=0,
        le=1,
        description="share of the GPU's memory that the engine `vllm` takes for weights and cache; 0: its part of what "
        "the other services on the card leave, at most 0.9",
    )
