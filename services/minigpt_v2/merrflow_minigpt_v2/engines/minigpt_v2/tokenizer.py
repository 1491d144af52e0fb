"""Text to token ids and back, as the authors' tokenizer (Llama 2, with the dummy prefix) does it.

SentencePiece itself is used: it never reads a control token's spelling as the token, and it puts a space before every
segment, as the published code does. transformers' own `LlamaTokenizer` leaves that space out after a special token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from merrflow_minigpt_v2.engines.minigpt_v2.architecture import Template
from merrflow_serving.errors import NotReady


@dataclass(frozen=True)
class PromptIds:
    """Token ids before and after the picture."""

    before: tuple[int, ...]
    after: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.before) + len(self.after)


class Tokenizer:
    """Prompts to ids, ids to text."""

    def __init__(self, path: Path, template: Template) -> None:
        """path: Llama 2's `tokenizer.model`. Raises `NotReady` if it is another file."""
        try:
            self._pieces = SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise NotReady(
                f"{path} is not a SentencePiece model ({error}); it is part of meta-llama/Llama-2-7b-chat-hf"
            ) from error
        self._template = template
        ends = (self._pieces.bos_id(), self._pieces.eos_id())
        if ends != (template.starts[0], template.stops[0]):
            raise NotReady(
                f"{path} numbers start and end as {ends}, Llama 2 as {(template.starts[0], template.stops[0])}"
            )

    def prompt(self, text: str) -> PromptIds:
        """`<s><s>[INST] <Img>` and `</Img> {text} [/INST]`; the template's markers inside `text` stay text."""
        text = break_markers(text, self._template.markers)
        before = self._pieces.encode(self._template.before)
        after = self._pieces.encode(self._template.after.replace("{text}", text))
        return PromptIds((*self._template.starts, *before), tuple(after))

    def text(self, ids: Sequence[int]) -> str:
        """The text of an answer up to the first stop token, on one line."""
        kept: list[int] = []
        for token in ids:
            if token in self._template.stops:
                break
            if token < self._pieces.vocab_size() and not self._pieces.is_control(token):
                kept.append(token)
        return " ".join(self._pieces.decode(kept).split())


def break_markers(text: str, markers: Iterable[str]) -> str:
    """The text with a space after the first character of each marker, so that none is read as one.

    White space stays as it is: the authors' tokenizer sees line breaks and indents too.
    """
    longest_first = sorted(markers, key=len, reverse=True)
    while any(marker in text for marker in longest_first):  # breaking one may complete another
        for marker in longest_first:
            text = text.replace(marker, f"{marker[0]} {marker[1:]}")
    return text
