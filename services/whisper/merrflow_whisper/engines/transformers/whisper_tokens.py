"""Whisper's tokens: its prompt, and from ids to segments with times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from transformers import AutoTokenizer

from merrflow_serving.errors import NotReady
from merrflow_whisper.engines.transformers.recogniser import open_part

TICK = 0.02  # seconds of one timestamp token
_LANGUAGE = re.compile(r"<\|([a-z]{2,3})\|>")
MOST_PROMPT = 223  # tokens; half of the decoder's 448


class Tokens:
    """The special tokens of a checkpoint by their meaning, and its text."""

    def __init__(self, folder: Path) -> None:
        """Raises `NotReady` if the folder has no tokenizer, or one of another model."""
        self._tokenizer = open_part(AutoTokenizer, folder, "tokenizer")
        self._special: dict[str, int] = self._tokenizer.get_added_vocab()
        self.start = self._need("<|startoftranscript|>", folder)
        self.end = self._need("<|endoftext|>", folder)
        self.no_timestamps = self._need("<|notimestamps|>", folder)
        self.nobody = self._special.get("<|nospeech|>", self._special.get("<|nocaptions|>"))
        self.language_ids = {
            match[1]: number for token, number in self._special.items() if (match := _LANGUAGE.fullmatch(token))
        }
        # Everything but text, timestamps and the end.
        self.never = (
            frozenset(self._special.values())
            - {self.end}
            - frozenset(number for number in self._special.values() if number > self.no_timestamps)
        )

    @property
    def languages(self) -> frozenset[str]:
        """ISO codes; a checkpoint without language tokens is for English."""
        return frozenset(self.language_ids) or frozenset({"en"})

    def prompt(self, language: str, before: str) -> list[int]:
        """The decoder's prompt. before: text that is written as if it had been said before; "" for none."""
        ids = [self.start]
        if self.language_ids:
            ids += [self.language_ids[language], self._special["<|transcribe|>"]]
        if before and "<|startofprev|>" in self._special:
            earlier = self._tokenizer(f" {before.strip()}", add_special_tokens=False).input_ids
            ids = [self._special["<|startofprev|>"], *earlier[-MOST_PROMPT:], *ids]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text, without special tokens and timestamps."""
        special = self.never | {self.end, self.no_timestamps}
        words = [number for number in ids if number not in special and number <= self.no_timestamps]
        return str(self._tokenizer.decode(words, clean_up_tokenization_spaces=False))

    def segments(self, ids: Sequence[int], length: float) -> list[tuple[float, float, str]]:
        """(start, end, text) of a window of `length` seconds: text between two timestamps, or to the window's end."""
        found: list[tuple[float, float, str]] = []
        start, words = 0.0, list[int]()

        def close(end: float) -> None:
            text = self.decode(words).strip()
            if text:
                found.append((min(start, length), min(max(start, end), length), text))
            words.clear()

        for number in ids:
            if number > self.no_timestamps:
                at = (number - self.no_timestamps - 1) * TICK
                close(at)
                start = at
            else:
                words.append(number)
        close(length)
        return found

    def _need(self, token: str, folder: Path) -> int:
        if token not in self._special:
            raise NotReady(f"the tokenizer in {folder} has no {token}: it is not Whisper's", reason="MODEL_MISMATCH")
        return self._special[token]
