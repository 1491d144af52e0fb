"""A conversation as tokens: the tokenizer and chat template of a model folder or of a GGUF file.

Clue text never becomes a control token. Prompts break the spellings of control tokens (`text.neutralise`); what is
left is counted here after tokenisation, so that a spelling nobody thought of is refused and not obeyed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from merrflow_llama3.chat import ChatTemplate, Message
from merrflow_llama3.engines.language_model import Tokens
from merrflow_llama3.gguf import GGUFHeader
from merrflow_serving.errors import InvalidInput, NotReady

_MARK = "MERRFLOW-TEXT"


class Turns:
    """Tokenizer and template together."""

    def __init__(self, tokenizer: Any, header: GGUFHeader) -> None:
        """`tokenizer`: a transformers fast tokenizer. `header`: template, bos, eos and control tokens of the model.

        Raises `ValueError` where the template takes no conversation.
        """
        self._tokenizer = tokenizer
        self._template = ChatTemplate(header)
        self.control_tokens = header.control_tokens
        self._control = frozenset(tokenizer.convert_tokens_to_ids(list(header.control_tokens)))
        self._counts: dict[tuple[str, ...], int] = {}
        self.end = self._turn_end() or header.eos_token
        self.stops: frozenset[int] = frozenset(
            tokenizer.convert_tokens_to_ids([token for token in (self.end, header.eos_token) if token])
        )

    def prompt(self, messages: Sequence[Message], answer_starts: str = "") -> Tokens:
        """The conversation up to where the answer goes on. Raises `InvalidInput` where a text acts as control token."""
        tokens = self._encode(self._template.render(messages) + answer_starts)
        roles = tuple(message.role for message in messages)
        if roles not in self._counts:
            harmless = self._template.render([Message(role, _MARK) for role in roles])
            self._counts[roles] = self._controls(self._encode(harmless))
        if self._controls(tokens) != self._counts[roles]:
            raise InvalidInput(
                "a clue holds what this model's tokenizer takes for a control token: take it out of the text",
                reason="CONTROL_TOKEN",
            )
        return tokens

    def answer(self, text: str) -> Tokens:
        """An answer's tokens; its end may be a control token."""
        return self._encode(text)

    def text(self, tokens: Sequence[int]) -> str:
        """What an answer's tokens say, control tokens left out."""
        return self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _encode(self, text: str) -> Tokens:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))  # the template writes them all

    def _controls(self, tokens: Tokens) -> int:
        return sum(token in self._control for token in tokens)

    def _turn_end(self) -> str:
        """The control token that ends the assistant's turn. `eos_token` may be another (Llama 3: <|end_of_text|>)."""
        turns = [Message("user", "a"), Message("assistant", _MARK), Message("user", "b")]
        behind = self._encode(self._template.render(turns).split(_MARK)[-1])
        return next((self._tokenizer.convert_ids_to_tokens(token) for token in behind if token in self._control), "")


def open_turns(folder: Path, header: GGUFHeader | None = None) -> Turns:
    """Tokenizer and chat template of a model folder, or of the GGUF file `folder` whose header is given.

    Raises `NotReady` with what is missing.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise NotReady(f"transformers, which reads the tokenizer, is not installed ({error})") from error
    try:
        if header is not None:
            tokenizer = AutoTokenizer.from_pretrained(folder.parent, gguf_file=folder.name, local_files_only=True)
        else:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            header = _header(tokenizer, folder)
        return Turns(tokenizer, header)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotReady(
            f"the tokenizer in {folder} cannot be used: {error}; it needs tokenizer.json and a tokenizer_config.json "
            "with the chat template of an instruction-tuned model"
        ) from error


def _header(tokenizer: Any, folder: Path) -> GGUFHeader:
    template = tokenizer.chat_template or ""
    if isinstance(template, dict):  # several, by name
        template = template.get("default", "")
    # Every added token is matched before the text is tokenised, special or not.
    added = sorted(
        {str(token) for token in tokenizer.added_tokens_decoder.values()} | set(tokenizer.all_special_tokens)
    )
    return GGUFHeader(
        name=folder.name,
        quantisation="",
        licence="",
        context_tokens=0,
        chat_template=template,
        control_tokens=tuple(added),
        bos_token=tokenizer.bos_token or "",
        eos_token=tokenizer.eos_token or "",
        adds_bos=False,  # templates write it themselves, and tokens are encoded without additions
    )
