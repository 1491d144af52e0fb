"""`endpoint.yaml`: what this engine adds to the prompts of the service."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from pydantic import Field

from merrflow_serving.prompt_files import PromptFile, read_prompt


class EndpointFile(PromptFile):
    """The file; its comments say what each field means."""

    name: str = "endpoint"
    control_tokens: tuple[str, ...]
    choose: str
    draws: int = Field(ge=1)
    draw_temperature: float = Field(ge=0)
    draw_prior: float = Field(gt=0)
    calibration_prior: float = Field(gt=0)
    answer_tokens: int = Field(ge=1)


@cache
def endpoint_file() -> EndpointFile:
    """Read once."""
    return read_prompt("endpoint", EndpointFile, files(__package__), "`endpoint`")
