"""Prompts for audio-language models: versioned YAML files in `prompts/`, chosen by the setting `prompt`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from merrflow_serving.errors import NotReady

CHAT_PROMPTS = "`tone_list`, `tone_free`"
TAG_PROMPTS = "`emotion_keyword`"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Join(_Part):
    """How the answers about several windows are joined; `{answer}` is replaced in each text."""

    first: str
    then: str


class Windows(_Part):
    """How the answers about the windows of one recording become one text."""

    words: Join  # answers of one word or of listed tones; `sentence` is put around the result
    texts: Join  # answers in sentences


class Prompt(_Part):
    """A prompt file. `digest` is the hash of its bytes."""

    name: str
    version: str
    format: Literal["chat", "tags"]
    system: str = ""  # chat
    question: str = ""  # chat
    tags: tuple[str, ...] = ()  # tags: special tokens after the audio, in order
    answer_tokens: int = Field(gt=0)
    options: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)  # empty for free form
    most_options: int = Field(1, ge=1)
    denials: tuple[str, ...] = ()
    contrasts: tuple[str, ...] = ()
    sentence: str  # around an answer that is a word or several; `{answer}`
    windows: Windows
    digest: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        joins = (self.windows.words, self.windows.texts)
        for text in (self.sentence, *(text for join in joins for text in (join.first, join.then))):
            if text.count("{answer}") != 1:
                raise ValueError(f"{text!r} must contain {{answer}} once")
        if self.format == "chat" and not self.question:
            raise ValueError("a chat prompt needs a question")
        if self.format == "tags" and not self.tags:
            raise ValueError("a tags prompt needs tags")
        return self

    def stamp(self, **parameters: object) -> str:
        """ "<name>@<version>+<hash>", hashed over the file and the other parameters that affect an answer."""
        digest = hashlib.sha256(self.digest.encode())
        digest.update(repr(sorted(parameters.items())).encode())
        return f"{self.name}@{self.version}+{digest.hexdigest()[:8]}"


def load_prompt(name: str) -> Prompt:
    """A packaged prompt by name, or any by the path of its YAML file.

    Raises `NotReady` with what is wrong if it cannot be used.
    """
    path = Path(name)
    packaged = files("merrflow_qwen_audio") / "prompts" / f"{name}.yaml"
    try:
        data = path.read_bytes() if path.suffix else packaged.read_bytes()
    except OSError as error:
        raise NotReady(
            f"the prompt {name!r} cannot be read; give {CHAT_PROMPTS}, {TAG_PROMPTS} or the path of a YAML file"
        ) from error
    try:
        return Prompt.model_validate({**yaml.safe_load(data), "digest": hashlib.sha256(data).hexdigest()})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "file"
        raise NotReady(f"the prompt {name!r} cannot be used: {where}: {first['msg']}") from error
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise NotReady(f"the prompt {name!r} is not a YAML file of the right form: {error}") from error
