"""Prompts for audio-language models: versioned YAML files in `prompts/`, chosen by the setting `prompt`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Literal, Self

from pydantic import Field, model_validator

from merrflow_serving.prompt_files import PromptFile, Strict, read_prompt

CHAT_PROMPTS = "`tone_list`, `tone_free`"
TAG_PROMPTS = "`emotion_keyword`"


class Join(Strict):
    """How the answers about several windows are joined; `{answer}` is replaced in each text."""

    first: str
    then: str


class Windows(Strict):
    """How the answers about the windows of one recording become one text."""

    words: Join  # answers of one word or of listed tones; `sentence` is put around the result
    texts: Join  # answers in sentences


class Prompt(PromptFile):
    """A prompt file."""

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


def load_prompt(name: str) -> Prompt:
    """A packaged prompt by name, or any by the path of its YAML file.

    Raises `NotReady` with what is wrong if it cannot be used.
    """
    return read_prompt(name, Prompt, files("merrflow_qwen_audio") / "prompts", f"{CHAT_PROMPTS}, {TAG_PROMPTS}")
