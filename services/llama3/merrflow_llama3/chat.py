"""A conversation as the model's own chat template writes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from merrflow_llama3.gguf import GGUFHeader


@dataclass(frozen=True)
class Message:
    """One turn. `role` is system, user or assistant."""

    role: str
    content: str


class ChatTemplate:
    """The Jinja template of a GGUF file. It comes with the model, so it runs in a sandbox."""

    def __init__(self, header: GGUFHeader) -> None:
        """Raises `ValueError` where the file has no template, or one that cannot be read."""
        if not header.chat_template:
            raise ValueError("the model file has no chat template")
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _raise
        # Some templates write today's date; the text of a clip must not depend on the day.
        environment.globals["strftime_now"] = lambda form: datetime(2025, 1, 1).strftime(form)
        try:
            self._template = environment.from_string(header.chat_template)
        except jinja2.TemplateError as error:
            raise ValueError(f"the model's chat template cannot be read: {error}") from error
        self._header = header

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt, up to where the assistant's answer begins.

        Templates without a system role get its content before the first user turn. The bos token is left
        out where the tokenizer adds it. Raises `ValueError` where the template takes no such conversation.
        """
        try:
            text = self._fill(messages)
        except jinja2.TemplateError:
            try:
                text = self._fill(_without_system(messages))
            except jinja2.TemplateError as error:
                raise ValueError(f"the model's chat template refuses the conversation: {error}") from error
        return text.removeprefix(self._header.bos_token) if self._header.adds_bos else text

    def _fill(self, messages: Sequence[Message]) -> str:
        return self._template.render(
            messages=[{"role": message.role, "content": message.content} for message in messages],
            add_generation_prompt=True,
            bos_token=self._header.bos_token,
            eos_token=self._header.eos_token,
        )


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _without_system(messages: Sequence[Message]) -> list[Message]:
    if len(messages) < 2 or messages[0].role != "system":
        return list(messages)
    first, second, *rest = messages
    return [Message(second.role, f"{first.content}\n\n{second.content}"), *rest]
