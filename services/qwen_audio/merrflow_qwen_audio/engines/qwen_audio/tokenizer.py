"""Qwen-Audio's tokenizer: byte pairs from `qwen.tiktoken`, followed by the special tokens.

Text never becomes a special token here, however it is spelled: special tokens are put into a prompt by name only. The
authors' own tokenizer reads `<audio>` in a user's words as the start of a sound.
"""

from __future__ import annotations

import base64
import binascii
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import tiktoken

from merrflow_qwen_audio.engines.audio_language.timestamps import is_timestamp
from merrflow_qwen_audio.engines.qwen_audio.special_tokens import SPECIAL_TOKENS
from merrflow_serving.errors import NotReady

FILE = "qwen.tiktoken"
# How text is split into pieces before pairs are merged: the pattern that the vocabulary was made with.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)


class QwenTokenizer:
    """Text to ids and back."""

    def __init__(self, file: Path) -> None:
        """Raises `NotReady` if the file is missing or is not a list of base64 tokens with ranks 0, 1, 2, ..."""
        ranks = _read(file)
        self.special = {token: len(ranks) + number for number, token in enumerate(SPECIAL_TOKENS)}
        self._first_special = len(ranks)
        self._times = {number for token, number in self.special.items() if is_timestamp(token)}
        self._encoding = tiktoken.Encoding(
            "qwen", pat_str=PIECES, mergeable_ranks=ranks, special_tokens=self.special, explicit_n_vocab=None
        )
        self.size = len(ranks) + len(SPECIAL_TOKENS)

    def encode(self, text: str) -> list[int]:
        """Ordinary tokens of the text in NFC."""
        return self._encoding.encode_ordinary(unicodedata.normalize("NFC", text))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, of special tokens only timestamps, as the authors' own decoder writes them: `<|1.20|>`."""
        kept = [number for number in ids if number < self._first_special or number in self._times]
        return self._encoding.decode(kept, errors="replace")


def _read(file: Path) -> dict[bytes, int]:
    try:
        lines = file.read_bytes().splitlines()
        pairs = [line.split() for line in lines if line]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in pairs}
    except OSError as error:
        raise NotReady(f"{file} cannot be read: {error}; it comes with the weights") from error
    except (ValueError, binascii.Error) as error:
        raise NotReady(f"{file} is not a tiktoken vocabulary: {error}; download it again") from error
    if len(ranks) < 256 or sorted(ranks.values()) != list(range(len(ranks))):
        raise NotReady(f"{file} is not a whole tiktoken vocabulary: its ranks have gaps; download it again")
    return ranks
