"""A conversation as the model's own chat template writes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

_MARK = "MERRFLOW-QUESTION"  # in the place of a question


@dataclass(frozen=True)
class Message:
    """One turn. `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class ChatFormat:
    """How a model wants a conversation written."""

    chat_template: str  # Jinja source; empty if there is none
    control_tokens: tuple[str, ...]  # spellings that the tokenizer turns into special tokens
    bos_token: str
    eos_token: str
    adds_bos: bool  # the tokenizer puts the bos token first by itself


class ChatTemplate:
    """The Jinja template of a model. It comes with the model, so it runs in a sandbox."""

    def __init__(self, chat: ChatFormat) -> None:
        """Raises `ValueError` if there is no template, or one that cannot be read."""
        if not chat.chat_template:
            raise ValueError("the model file has no chat template")
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _raise
        # Some templates write today's date; the text of a clip must not depend on the day.
        environment.globals["strftime_now"] = lambda pattern: datetime(2025, 1, 1).strftime(pattern)
        try:
            self._template = environment.from_string(chat.chat_template)
        except jinja2.TemplateError as error:
            raise ValueError(f"the model's chat template cannot be read: {error}") from error
        self._chat = chat

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt, up to where the assistant's answer begins.

        If the template has no system role, that content goes before the first user turn. The bos token is left out
        if the tokenizer adds it. Raises `ValueError` if the template refuses the conversation.
        """
        try:
            text = self._fill(messages)
        except jinja2.TemplateError:
            try:
                text = self._fill(_without_system(messages))
            except jinja2.TemplateError as error:
                raise ValueError(f"the model's chat template refuses the conversation: {error}") from error
        return text.removeprefix(self._chat.bos_token) if self._chat.adds_bos else text

    def before_question(self, conversation: Callable[[str], Sequence[Message]]) -> str:
        """The part of a prompt that is the same for every clip: all that comes before the question.

        conversation: puts a question into its turns. Raises `ValueError` as `render` does.
        """
        return self.render(conversation(_MARK)).split(_MARK)[0]

    def turn_end(self) -> str:
        """The control token that ends the assistant's turn, or the eos token, which may be another (Llama 3)."""
        turns = [Message("user", "a"), Message("assistant", _MARK), Message("user", "b")]
        after = self.render(turns).split(_MARK)[-1]
        found = [(after.index(token), -len(token), token) for token in self._chat.control_tokens if token in after]
        return min(found)[2] if found else self._chat.eos_token

    def _fill(self, messages: Sequence[Message]) -> str:
        return self._template.render(
            messages=[{"role": message.role, "content": message.content} for message in messages],
            add_generation_prompt=True,
            bos_token=self._chat.bos_token,
            eos_token=self._chat.eos_token,
        )


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _without_system(messages: Sequence[Message]) -> list[Message]:
    if len(messages) < 2 or messages[0].role != "system":
        return list(messages)
    first, second, *rest = messages
    return [Message(second.role, f"{first.content}\n\n{second.content}"), *rest]
