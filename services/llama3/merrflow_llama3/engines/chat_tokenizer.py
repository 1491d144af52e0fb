"""A conversation as tokens: the tokenizer and the chat template of a model folder or of a GGUF file.

Clue text never becomes a control token. Prompts break the spellings of control tokens (`text.neutralise`), and the
control tokens in the result are counted here, so that a spelling nobody thought of is refused and not obeyed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from merrflow_llama3.chat import ChatFormat, ChatTemplate, Message
from merrflow_llama3.engines.language_model import Tokens
from merrflow_serving.errors import InvalidInput, NotReady

_MARK = "MERRFLOW-TEXT"


class ChatTokenizer:
    """Writes a conversation by the model's chat template, and encodes it."""

    def __init__(self, tokenizer: Any, chat: ChatFormat) -> None:
        """tokenizer: a transformers fast tokenizer. Raises `ValueError` if the template refuses a conversation."""
        self._tokenizer = tokenizer
        self._template = ChatTemplate(chat)
        self.control_tokens = chat.control_tokens
        self._control_ids = frozenset(tokenizer.convert_tokens_to_ids(list(chat.control_tokens)))
        self._expected_controls: dict[tuple[str, ...], int] = {}  # by the roles of a conversation
        self.end = self._turn_end() or chat.eos_token
        self.stops: frozenset[int] = frozenset(
            tokenizer.convert_tokens_to_ids([token for token in (self.end, chat.eos_token) if token])
        )

    def prompt(self, messages: Sequence[Message], answer_starts: str = "") -> Tokens:
        """The conversation up to where the model continues. Raises `InvalidInput` if text acts as a control token."""
        tokens = self._encode(self._template.render(messages) + answer_starts)
        roles = tuple(message.role for message in messages)
        if roles not in self._expected_controls:
            harmless = self._template.render([Message(role, _MARK) for role in roles])
            self._expected_controls[roles] = self._controls(self._encode(harmless))
        if self._controls(tokens) != self._expected_controls[roles]:
            raise InvalidInput(
                "a clue contains what this model's tokenizer takes for a control token: remove it from the text",
                reason="CONTROL_TOKEN",
            )
        return tokens

    def answer(self, text: str) -> Tokens:
        """An answer's tokens; its end may be a control token."""
        return self._encode(text)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of an answer's tokens, without control tokens."""
        text: str = self._tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _encode(self, text: str) -> Tokens:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))  # the template writes them all

    def _controls(self, tokens: Tokens) -> int:
        return sum(token in self._control_ids for token in tokens)

    def _turn_end(self) -> str:
        """The control token that ends the assistant's turn. `eos_token` may be another (Llama 3: <|end_of_text|>)."""
        turns = [Message("user", "a"), Message("assistant", _MARK), Message("user", "b")]
        after = self._encode(self._template.render(turns).split(_MARK)[-1])
        return next((self._tokenizer.convert_ids_to_tokens(token) for token in after if token in self._control_ids), "")


def open_chat_tokenizer(path: Path, chat: ChatFormat | None = None) -> ChatTokenizer:
    """Tokenizer and chat template of a model folder, or of the GGUF file `path` whose header is given.

    Raises `NotReady` that says what is missing.
    """
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise NotReady(f"transformers, which reads the tokenizer, is not installed ({error})") from error
    try:
        if chat is not None:
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, local_files_only=True)
        else:
            tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
            chat = _chat_format(tokenizer)
        return ChatTokenizer(tokenizer, chat)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotReady(
            f"the tokenizer in {path} cannot be used: {error}; it needs tokenizer.json and a tokenizer_config.json "
            "with the chat template of an instruction-tuned model"
        ) from error


def _chat_format(tokenizer: Any) -> ChatFormat:
    template = tokenizer.chat_template or ""
    if isinstance(template, dict):  # several, by name
        template = template.get("default", "")
    # Every added token is matched before the text is tokenised, special or not.
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()} | set(tokenizer.all_special_tokens)
    return ChatFormat(
        chat_template=template,
        control_tokens=tuple(sorted(added)),
        bos_token=tokenizer.bos_token or "",
        eos_token=tokenizer.eos_token or "",
        adds_bos=False,  # templates write it themselves, and tokens are encoded without additions
    )
