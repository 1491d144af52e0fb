"""Text of unknown encoding: Unicode by its marks, any other by what reads as a likely text, or refused.

Nearly every sequence of bytes is *some* text in most of the old encodings, so that a wrong one gives confident
nonsense. Each reading is weighed by the letters of the languages that are written in its encoding (naive Bayes over
letters, with a few rules on words). If the best is not likelier by `floor` than the next that differs, the text is
refused with the names of both. Letters, words and the floor: `text_encodings.yaml`. General detectors are not used: of
files of one short line, which clips often have, charset-normalizer 3.5 decodes six of ten wrongly and refuses none.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import Field

from merrflow.core import datafile
from merrflow.formats.text_likelihood import Alphabet, Characters, Language

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ZEROS = 0.2  # share of bytes that are zero in UTF-16, even of Chinese: line ends, numbers and blanks have one each
_NEARLY_UTF8 = 0.75  # share of the bytes beyond ASCII that are UTF-8: such a file is UTF-8 that was damaged
_CONTROLS = bytes({*range(32), 127} - {*b"\t\n\v\f\r\x1a\x1b"})
_MOST_CONTROLS = 0.01  # share of a text's bytes; of noise they are a tenth
_NAMED = 3  # encodings named in a message


class UnknownEncoding(ValueError):
    """Bytes that cannot be decoded without a guess. The message says which encodings they may be in."""


class _Encoding(datafile.Strict):
    languages: tuple[str, ...]
    rare: float = Field(ge=0)  # nats


class _Letters(datafile.Strict):
    letters: str
    others: str = ""
    words: str = ""


class _Rules(datafile.Strict):
    version: str
    floor: float = Field(gt=0)
    sample: int = Field(gt=0)
    encodings: Mapping[str, _Encoding]
    alphabets: Mapping[str, _Letters]
    characters: Mapping[str, str]


@dataclass(frozen=True)
class _Reading:
    """What the bytes are in one encoding."""

    text: str
    encoding: str
    cost: float  # negative log-likelihood in nats, of the likeliest language


def decode_text(data: bytes, encoding: str = "") -> str:
    """Text without a byte order mark.

    encoding: of bytes that are neither marked as Unicode nor valid UTF-8; empty: the likeliest.
    Raises `UnknownEncoding`, also for Unicode with a fault: text with gaps would pass for whole.
    """
    for mark, name in _BOMS:
        if data.startswith(mark):
            return _decoded(data, name).removeprefix("\ufeff")
    if unmarked := _unmarked_utf16(data):
        return _decoded(data, unmarked)
    if data.isascii():
        escapes = b"\x1b$" in data or b"\x1b(J" in data  # of ISO-2022-JP, which is ASCII to the eye
        return _decoded(data, encoding or ("iso2022_jp" if escapes else "ascii"))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if encoding:
            return _decoded(data, encoding)
        if _share_of_utf8(data) >= _NEARLY_UTF8:
            raise UnknownEncoding(f"it is UTF-8 with a fault at byte {error.start}; save it again") from error
    return _likeliest(data)


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except (UnicodeError, ValueError) as error:
        at = f" at byte {error.start}" if isinstance(error, UnicodeDecodeError) else ""
        raise UnknownEncoding(f"it is not {encoding}: there is a fault{at}") from error


def _unmarked_utf16(data: bytes) -> str:
    """ "utf-16-le" or "utf-16-be" if every other byte is often zero, else ""."""
    start = data[:4096]
    even, odd = start[::2].count(0), start[1::2].count(0)
    if even + odd <= _ZEROS * len(start) or len(data) % 2:
        return ""
    return "utf-16-be" if even > odd else "utf-16-le"


def _share_of_utf8(data: bytes) -> float:
    beyond = sum(byte > 127 for byte in data)
    valid = sum(byte > 127 for byte in data.decode("utf-8", errors="ignore").encode())
    return valid / beyond


def _likeliest(data: bytes) -> str:
    rules = _rules()
    if len(data) - len(data.translate(None, _CONTROLS)) > _MOST_CONTROLS * len(data):
        raise UnknownEncoding("it is not text: it is full of control characters")
    sample = _sample(data, rules.sample)
    readings: dict[str, _Reading] = {}
    for encoding, rule in rules.encodings.items():
        try:
            data.decode(encoding)
            text = sample.decode(encoding, errors="ignore")  # whose last character may be cut
        except UnicodeDecodeError:
            continue
        cost = rule.rare + min(_language(language).cost(text) for language in rule.languages)
        if text not in readings or cost < readings[text].cost:
            readings[text] = _Reading(text, encoding, cost)
    ranked = sorted(readings.values(), key=lambda reading: reading.cost)
    if not ranked:
        raise UnknownEncoding(f"it is in no encoding that merrflow can recognise ({_how()})")
    if len(ranked) > 1 and ranked[1].cost - ranked[0].cost < rules.floor:
        near = [one.encoding for one in ranked if one.cost - ranked[0].cost < rules.floor][:_NAMED]
        names = f"{', '.join(near[:-1])} or {near[-1]}"
        raise UnknownEncoding(f"its encoding cannot be told: it may be {names} ({_how()})")
    return data.decode(ranked[0].encoding)


def _how() -> str:
    return "save it as UTF-8, or name the encoding by MERRFLOW_SUBTITLE_ENCODING"


def _sample(data: bytes, length: int) -> bytes:
    """The first distinct lines that are not ASCII, of an .ass only what is shown.

    Lines can be cut before anything is decoded: no encoding has the byte of a line end within a character.
    """
    kept: list[bytes] = []
    for line in dict.fromkeys(data.replace(b"\r", b"\n").split(b"\n")):
        shown = line.split(b",", 9)[-1] if line.startswith(b"Dialogue:") else line
        if not shown.isascii():
            kept.append(shown[:length])
            length -= len(shown)
            if length <= 0:
                break
    return b"\n".join(kept)


@cache
def _rules() -> _Rules:
    return datafile.read(Path(__file__).with_name("text_encodings.yaml"), _Rules)


@cache
def _language(name: str) -> Language:
    rules = _rules()
    if alphabet := rules.alphabets.get(name):
        return Alphabet(alphabet.letters, alphabet.others, frozenset(alphabet.words.split()))
    return Characters(name, {key: "".join(value.split()) for key, value in rules.characters.items()})
