"""Text of unknown encoding: what people's tables and subtitle files are written in.

A byte order mark or valid UTF-8 settles it. Else every encoding of `encodings.yaml` that can decode the bytes is
weighed by how likely its text is in the languages written in it (language_models.py). As each encoding explains the
same bytes, their likelihoods can be compared. If two encodings that give different texts are too close, or the best is
like no language, the file is refused with the candidates; nothing is guessed.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, replace
from pathlib import Path

from merrflow.core.errors import InputError
from merrflow.formats.language_models import PLAIN_WORD, RUN, language_model, tables

MAX_BYTES = 64 << 20  # no table or subtitle file is larger; a video under a wrong name is
SAMPLE_BYTES = 6000  # of the lines that are not ASCII; more makes nothing surer
LEAD = 8.0  # nats by which the best must be likelier than the next: e^8 = 3,000 to 1
FLOOR = -5.5  # nats: mean over the bytes beyond ASCII; random bytes get about -8
MOST_NAMED = 4  # candidates in a message
MOST_AGAINST = 10.0  # nats: that many plain words at most speak against a script that is not Latin
_PHRASE = re.compile(rb'(?:^|(?<=[,;|"{}\t\n]))[^,;|"{}\t\n\x80-\xff]*+[\x80-\xff][^,;|"{}\t\n]*+')
_LOOKED_AT = 1 << 16  # bytes, where a part says as much as all
_BEFORE = 200  # bytes of a line before its first that is not ASCII
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ESCAPES = (b"\x1b$B", b"\x1b$@", b"\x1b(J", b"\x1b$A", b"\x1b$(C")  # ISO-2022-JP switches by them and is all ASCII
_NO_TEXT = {
    b"PK\x03\x04": "a workbook or ZIP archive (save a workbook as `CSV UTF-8`)",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file (save it as `CSV UTF-8`)",
    b"\x1f\x8b": "a gzip archive (unpack it)",
    b"%PDF": "a PDF file",
}
# Quotes and dashes that a tool took from cp1252 without converting them, as in MELD's tables: control characters there.
_CP1252_IN_UTF8 = {
    byte: character for byte in range(0x80, 0xA0) if (character := bytes([byte]).decode("cp1252", "ignore"))
}


class UnknownEncoding(InputError):
    """The bytes are not text, or in one of several encodings; the message says which."""


_HZ = re.compile(rb"~\{(?:[!-w][!-~])+~\}")  # Chinese of two bytes each, between escapes of ASCII (RFC 1843)
_UTF7 = re.compile(rb"\+[A-Za-z0-9+/]{2,}-?")  # characters in base 64 (RFC 2152)
_UTF7_SURE = 3  # characters that are letters or their punctuation; fewer may be a name such as "a+abc-b"
# What is written in it: Latin to Thai, punctuation, kana, Han, Hangul, full-width signs.
_WRITTEN = re.compile("[\u00a0-\u0e7f\u2010-\u2044\u266a\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef]+")
_END_OF_FILE = b"\x1a"  # which programs of DOS write


def read_text(path: Path, encoding: str = "", limit: int = MAX_BYTES, option: str = "") -> str:
    """The text of a file, without a byte order mark. Blocking: up to 0.5 s if the encoding has to be found.

    encoding: of a file that is not Unicode, such as "gb18030"; empty to find it. limit: bytes that the file may have.
    option: what names the encoding, for messages. Raises `InputError` with the file: not there, too large, not text, or
    of an encoding that is not certain.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: cannot be read (not a file)")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if len(data) > limit:
        size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit} bytes"
        raise InputError(f"{path}: larger than {size}, which no table or subtitle file is")
    try:
        return decode(data.removesuffix(_END_OF_FILE), encoding, option).translate(_CP1252_IN_UTF8)
    except UnknownEncoding as error:
        raise UnknownEncoding(f"{path}: {error}") from None


def check_encoding(name: str) -> str:
    """The name of an encoding as Python knows it. Raises `InputError`."""
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        found = None
    if found is None or not found._is_text_encoding:
        raise InputError(f"{name!r} is not an encoding; known are utf-8, utf-16, {', '.join(tables().encodings)}")
    return found.name


def decode(data: bytes, encoding: str = "", option: str = "") -> str:
    """As `read_text`, of bytes. Raises `UnknownEncoding`, whose message does not name a file."""
    for mark, what in _NO_TEXT.items():
        if data.startswith(mark):
            raise UnknownEncoding(f"{what}, not text")
    for mark, name in _BOMS:
        if data.startswith(mark):
            return _strictly(data, name)
    if wide := _without_mark(data):
        return _strictly(data, wide)
    if data.isascii() and (encoding or any(escape in data for escape in _ESCAPES)):
        return _strictly(data, encoding or "iso2022_jp_2")
    if data.isascii() and _HZ.search(data):
        return _strictly(data, "hz")
    if data.isascii() and (piece := _in_utf7(data)):
        how = f"name its encoding{f' ({option})' if option else ''}: utf-7 ({piece!r}) or ascii"
        raise UnknownEncoding(f"it may be in UTF-7; save it as UTF-8, or {how}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        if encoding:
            return _strictly(data, check_encoding(encoding))
        if _is_damaged_utf8(data[max(0, error.start - _LOOKED_AT) : error.start + _LOOKED_AT]):
            raise UnknownEncoding(f"{_place(data, error)}: not UTF-8, as the rest is; the file is damaged") from error
    return data.decode(_detected(data, option))


def _strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnknownEncoding(f"{_place(data, error)}: not text in {encoding} ({error.reason})") from error


def _place(data: bytes, error: UnicodeDecodeError) -> str:
    line = data.count(b"\n", 0, error.start) + 1
    return f"line {line} (byte {error.start}, 0x{data[error.start]:02X})"


def _without_mark(data: bytes) -> str:
    """ "utf-16-le" or "utf-16-be" if commas and line ends have a zero byte, always on the same side; else ""."""
    if len(data) % 2 or b"\0" not in data[:_LOOKED_AT]:
        return ""
    first, second = data[:_LOOKED_AT:2], data[1:_LOOKED_AT:2]
    both = sum(32 <= one < 127 and 32 <= two < 127 for one, two in zip(first, second, strict=True))
    for encoding, zeros, other in (("utf-16-le", second, first), ("utf-16-be", first, second)):
        if zeros.count(0) > max(both, 4 * other.count(0)):  # damaged ASCII is pairs of two letters
            return encoding
    return ""


def _in_utf7(data: bytes) -> str:
    """The first characters if all that looks like UTF-7 is text in it, else ""."""
    try:
        found = "".join(part.decode("utf-7") for part in _UTF7.findall(data))
    except UnicodeDecodeError:
        return ""
    return found[:12] if len(found) >= _UTF7_SURE and _WRITTEN.fullmatch(found) else ""


def _is_damaged_utf8(data: bytes) -> bool:
    """Whether most of what is beyond ASCII is UTF-8 all the same."""
    replaced = data.decode("utf-8", errors="replace")
    faults = replaced.count("\ufffd")
    return sum(character > "\x7f" for character in replaced) - faults > 2 * faults


@dataclass(frozen=True)
class _Reading:
    """The sample in one encoding."""

    encoding: str
    language: str
    text: str
    likelihood: float  # nats
    mean: float  # nats a byte beyond ASCII


def _detected(data: bytes, option: str) -> str:
    """The encoding that is certain enough. Raises `UnknownEncoding`."""
    sample = _sample(data)
    plain = _plain_words(data, sample)
    readings: dict[str, _Reading] = {}  # by text: two encodings that read it alike do not compete
    for encoding, about in tables().encodings.items():
        try:
            data.decode(encoding)
            text = sample.decode(encoding, errors="ignore")  # its last character may be cut
        except UnicodeDecodeError:
            continue
        best = _best(text, encoding, {language: about.prior + plain[language] for language in about.languages})
        old = readings.get(text)
        if old is None or best.likelihood > old.likelihood + 0.01:
            readings[text] = replace(best, encoding=old.encoding if old else encoding)
    ranked = sorted(readings.values(), key=lambda one: -one.likelihood)
    near = [one for one in ranked if one.likelihood > ranked[0].likelihood - LEAD]
    if len(near) == 1 and near[0].mean >= FLOOR:
        return near[0].encoding
    what = "too little text to be certain of its encoding" if len(near) > 1 else "in no encoding that is recognised"
    seen = ", ".join(f"{one.encoding} ({one.language}: {_piece(one.text)!r})" for one in near[:MOST_NAMED])
    how = f"name its encoding{f' ({option})' if option else ''}{f', perhaps {seen}' if seen else ''}"
    raise UnknownEncoding(f"not UTF-8, and {what}; save it as UTF-8, or {how}")


def _piece(text: str) -> str:
    """The first characters beyond ASCII, for a person to judge by."""
    match = re.search(r"[^\x00-\x7f].{0,11}", text)
    return match[0] if match else ""


def _sample(data: bytes) -> bytes:
    """The distinct lines that are not all ASCII, up to `SAMPLE_BYTES`.

    Lines can be cut before they are decoded: no encoding here has the byte of a line end within a character.
    """
    taken: list[bytes] = []
    left = SAMPLE_BYTES
    for line in dict.fromkeys(data.replace(b"\r", b"\n").split(b"\n")):
        if not line.isascii():
            first = next(place for place, byte in enumerate(line) if byte > 127)
            taken.append(line[max(0, first - _BEFORE) :][:left])
            left -= len(taken[-1])
            if left <= 0:
                break
    return b"\n".join(taken)


def _best(text: str, encoding: str, known: dict[str, float]) -> _Reading:
    """In the likeliest language. known: of each language, what is known before the text itself is looked at."""
    runs = [run for run in RUN.findall(text) if not run.isascii()]
    distinct = dict.fromkeys(runs)
    size = sum(len(run.encode(encoding)) for run in runs)
    found = []
    for language, likelihood in known.items():
        weights = {run: language_model(language).run(run) for run in distinct}
        beyond = sum((weights[run] for run in runs), 0.0)
        found.append(_Reading(encoding, language, text, likelihood + beyond, beyond / max(1, size)))
    return max(found, key=lambda one: one.likelihood)


def _plain_words(data: bytes, sample: bytes) -> dict[str, float]:
    """What the words without accents say of each language, in nats; the best has 0.

    Latin scripts: how well those fit that share a phrase with accents. The others say nothing: headers, names and
    other columns are English in tables of every language. Other scripts: few English words are in their texts, but
    headers and clips' names are, so that all words count up to a limit.
    """
    near = {word.lower().decode() for phrase in _PHRASE.findall(sample) for word in PLAIN_WORD.findall(phrase)}
    found = {word.lower() for word in PLAIN_WORD.findall(data[: 4 * SAMPLE_BYTES])}
    models = {language: language_model(language) for language in tables().languages}
    fits = {language: sum(map(model.word, near)) for language, model in models.items() if model.latin}
    best = max(fits.values())
    other = -min(MOST_AGAINST, len(found))
    return {language: fits[language] - best if language in fits else other for language in models}
