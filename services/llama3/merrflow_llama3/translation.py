"""Prompts for translating what is said into English."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Self

from pydantic import Field, model_validator

from merrflow_llama3 import text as texts
from merrflow_llama3.chat import Message
from merrflow_llama3.datafiles import read_text
from merrflow_llama3.prompt import PROMPTS
from merrflow_llama3.types import TranslateItem
from merrflow_serving.errors import InvalidInput
from merrflow_serving.prompt_files import PromptFile, read_prompt


class TranslationPrompt(PromptFile):
    """A prompt for translating."""

    system: str
    question: str  # with {language} and {text}
    unknown: str  # in the place of a language that is not known
    languages: Mapping[str, str]  # ISO 639-1 code -> name
    answer_tokens: int = Field(ge=1)  # of any answer, and more for each character of the source
    answer_tokens_per_character: int = Field(ge=0)

    @model_validator(mode="after")
    def _fill_once(self) -> Self:
        try:
            filled = self.question.format(language="l", text="\0")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"the question names something that is neither language nor text: {error}") from error
        if filled.count("\0") != 1:
            raise ValueError("the question must name {text}, once")
        return self

    def conversation(self, question: str) -> list[Message]:
        """The system prompt and the question, as turns."""
        return [*([Message("system", self.system)] if self.system else []), Message("user", question)]

    def source(self, item: TranslateItem, control_tokens: Iterable[str] = ()) -> str:
        """What is said, as the model reads it: on one line, control tokens broken. Raises `InvalidInput` if that is
        nothing."""
        found = texts.neutralise(texts.one_line(item.text), control_tokens)
        if not any(character.isalpha() for character in found):
            raise InvalidInput("there is no word to translate: give a text", reason="NO_TEXT")
        return found

    def fill(self, source: str, language: str, control_tokens: Iterable[str] = ()) -> str:
        """The question over a `source`. Control tokens in it are broken, so it stays plain text within one turn."""
        filled = self.question.format(language=self.languages.get(language, self.unknown), text=source)
        return texts.neutralise(filled, control_tokens)

    def longest(self, source: str) -> int:
        """Tokens of an answer at most."""
        return self.answer_tokens + self.answer_tokens_per_character * len(source)

    def also_hashed(self) -> Iterator[str]:
        yield read_text("data", "translation.yaml")


def load_translation_prompt(name: str) -> TranslationPrompt:
    """The packaged prompt ("translate"), or one by the path of its YAML file.

    Raises `NotReady` that says what is wrong if it cannot be used.
    """
    return read_prompt(name, TranslationPrompt, PROMPTS, "`translate`")
