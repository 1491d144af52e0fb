"""The header of a GGUF file (github.com/ggml-org/ggml, docs/gguf.md), read without loading the model."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from merrflow_llama3.chat import ChatFormat

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_CONTROL, _USER_DEFINED = 3, 4  # token types that are matched before the text is tokenised
_MOST_KEYS = 65_536
_FILE_TYPES = {  # llama_ftype in llama.h
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S",
    12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K",
    19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS", 23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL",
    26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M", 30: "IQ4_XS", 31: "IQ1_M", 32: "BF16",
}  # fmt: skip


class NotGGUF(ValueError):
    """The file is not a GGUF file, or its header is cut off."""


@dataclass(frozen=True)
class GGUFHeader(ChatFormat):
    """What a GGUF file says about its model."""

    name: str
    quantisation: str  # such as "Q4_1"
    licence: str  # SPDX if the file names one
    context_tokens: int  # the longest context the model was trained for; 0 if unknown


def read_header(path: Path) -> GGUFHeader:
    """Reads the metadata (about 0.2 s for a vocabulary of 50,000). Raises `NotGGUF`, `OSError`."""
    with path.open("rb") as file:
        values = _Reader(file, path.stat().st_size).metadata()
    tokens: list[str] = values.get("tokenizer.ggml.tokens", [])
    types: list[int] = values.get("tokenizer.ggml.token_type", [])
    architecture = values.get("general.architecture", "")

    def token(kind: str) -> str:
        index = values.get(f"tokenizer.ggml.{kind}_token_id", -1)
        return tokens[index] if 0 <= index < len(tokens) else ""

    return GGUFHeader(
        name=values.get("general.name", "") or path.stem,
        quantisation=_FILE_TYPES.get(values.get("general.file_type", -1), "unknown"),
        licence=_spdx(values.get("general.license", "")),
        context_tokens=values.get(f"{architecture}.context_length", 0),
        chat_template=values.get("tokenizer.chat_template", ""),
        control_tokens=tuple(
            token for token, kind in zip(tokens, types, strict=False) if kind in (_CONTROL, _USER_DEFINED)
        ),
        bos_token=token("bos"),
        eos_token=token("eos"),
        adds_bos=values.get("tokenizer.ggml.add_bos_token", _adds_bos_by_default(values)),
    )


def _adds_bos_by_default(values: dict[str, Any]) -> bool:
    # What llama.cpp assumes if the file does not say (llama-vocab.cpp).
    pre = values.get("tokenizer.ggml.pre", "")
    return values.get("tokenizer.ggml.model") == "llama" or pre in ("llama3", "llama-v3", "llama-bpe")


def _spdx(licence: str) -> str:
    return {"apache-2.0": "Apache-2.0", "mit": "MIT"}.get(licence.lower(), licence)


class _Reader:
    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size

    def metadata(self) -> dict[str, Any]:
        if self._take(4) != b"GGUF":
            raise NotGGUF("it does not begin with the letters GGUF")
        version = self._scalar("I")
        if version not in (2, 3):
            raise NotGGUF(f"it has GGUF version {version}; versions 2 and 3 can be read")
        self._scalar("Q")  # number of tensors
        count = self._scalar("Q")
        if count > _MOST_KEYS:
            raise NotGGUF("its header is damaged")
        values = {}
        for _ in range(count):
            key = self._string()
            values[key] = self._value(self._scalar("I"))
        return values

    def _take(self, count: int) -> bytes:
        # A damaged length must not make us ask for memory that the file could never fill.
        data = self._file.read(count) if count <= self._size else b""
        if len(data) != count:
            raise NotGGUF("its header is cut off")
        return data

    def _scalar(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self._take(struct.calcsize(f"<{code}")))[0]

    def _string(self) -> str:
        return self._take(self._scalar("Q")).decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            item, count = self._scalar("I"), self._scalar("Q")
            if item in _SCALARS:
                width = struct.calcsize(f"<{_SCALARS[item]}")
                return list(struct.unpack(f"<{count}{_SCALARS[item]}", self._take(count * width)))
            if count > self._size:
                raise NotGGUF("its header is damaged")
            return [self._value(item) for _ in range(count)]
        if kind not in _SCALARS:
            raise NotGGUF("its header is damaged")
        return self._scalar(_SCALARS[kind])
