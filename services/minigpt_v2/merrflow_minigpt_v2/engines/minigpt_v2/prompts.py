"""Prompts and decoding parameters: versioned YAML files, chosen by settings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import Field

from merrflow_minigpt_v2.engines.minigpt_v2.architecture import Template
from merrflow_serving.errors import NotReady
from merrflow_serving.prompt_files import Strict
from merrflow_serving.torch.decoding import Decoding

PROMPTS = Path(__file__).with_name("prompts")
DECODING = Path(__file__).with_name("decoding.yaml")


Kind = TypeVar("Kind", bound=Strict)


class Prompt(Strict):
    """A question about a picture; it may start with a task tag such as `[grounding]`."""

    name: str
    version: str
    text: str = Field(min_length=1)
    answer_tokens: int = Field(ge=1)  # the longest answer


class DecodingFile(Strict):
    """`decoding.yaml`."""

    version: str
    greedy: Decoding
    demo: Decoding


@dataclass(frozen=True)
class PromptConfig:
    """Everything that decides an answer, apart from weights and picture."""

    prompt: Prompt
    decoding: Decoding
    answer_tokens: int
    seed: int
    stamp: str  # names, versions and a hash over everything


def load_prompt_config(
    prompt: str, decoding: str, *, answer_tokens: int, seed: int, template: Template
) -> PromptConfig:
    """Reads the files that two settings name. answer_tokens: 0 for the prompt file's value. Raises `NotReady`."""
    path = Path(prompt) if prompt.endswith((".yaml", ".yml")) else PROMPTS / f"{prompt}.yaml"
    chosen = _read(path, Prompt, f"the packaged prompts are: {', '.join(names())}; or give a YAML file's path")
    presets = _read(DECODING, DecodingFile, "install the service again")
    how = getattr(presets, decoding)
    longest = answer_tokens or chosen.answer_tokens
    parts = [chosen.model_dump(), how.model_dump(), template.model_dump(), longest, seed if how.temperature else None]
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]
    stamp = f"{chosen.name} {chosen.version}, {decoding} {presets.version}+{digest}"
    return PromptConfig(chosen, how, longest, seed, stamp)


def names() -> list[str]:
    """The names of the packaged prompts."""
    return sorted(path.stem for path in PROMPTS.glob("*.yaml"))


def _read(path: Path, kind: type[Kind], hint: str) -> Kind:
    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise NotReady(f"{path} cannot be read ({error.strerror}); {hint}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise NotReady(f"{path} is not a valid {kind.__name__.lower()} file: {error}") from error
