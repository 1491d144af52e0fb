"""Subtitle files beside a clip: found, decoded whatever their encoding, and cut to the clip."""

from __future__ import annotations

import codecs
import html
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

SUFFIXES = (".srt", ".vtt")
MAX_BYTES = 16 << 20  # no subtitle file is larger; a video under a wrong name is
_RANKS = {"": 0, "en": 2}  # by language tag; 1 is the clip's full name, 3 any other language
_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][a-z]{2,4})?")
_CUE = re.compile(r"^[\[(（【♪♫#*][^\])）】]*[\])）】♪♫#*]$")  # [music], (laughs), ♪ la la ♪
_TAG = re.compile(r"<[^<>]{0,200}>|\{\\[^{}]{0,200}\}")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class BadSidecar(ValueError):
    """A subtitle file that cannot be used; the message says why."""


@dataclass(frozen=True)
class Cue:
    """One subtitle of a file."""

    start: float  # seconds from the start of the clip
    end: float  # seconds
    text: str


def find_sidecars(clip: Path) -> tuple[Path, ...]:
    """The `.srt` and `.vtt` files that belong to a clip, best first.

    For `a.mp4`: `a.srt`, `a.vtt`, `a.mp4.srt`, then `a.en.srt` and other languages. Any case of the suffix.
    """
    folder = os.path.dirname(clip)
    try:
        beside = _subtitle_files(folder, os.stat(folder).st_mtime_ns)
    except OSError:
        return ()
    if not beside:
        return ()
    found = [(_RANKS.get(tag[:2], 3), path.name, path) for tag, path in beside.get(clip.stem.casefold(), ())]
    found += [(1, path.name, path) for tag, path in beside.get(clip.name.casefold(), ()) if not tag]
    return tuple(path for _, _, path in sorted(found))


@lru_cache(maxsize=64)
def _subtitle_files(folder: str, mtime_ns: int) -> dict[str, list[tuple[str, Path]]]:
    """A folder's subtitle files by the stem they belong to, each with its language tag or "".

    Read once for all clips of a folder; `mtime_ns` makes it read again when files came or went.
    """
    found: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for name in os.listdir(folder):  # as text: a Path for each of 70,000 clips would cost a second
        if os.path.splitext(name)[1].lower() not in SUFFIXES or not (path := Path(folder, name)).is_file():
            continue
        stem = path.stem.casefold()
        found[stem].append(("", path))
        base, _, tag = stem.rpartition(".")
        if base and _LANGUAGE.fullmatch(tag):
            found[base].append((tag, path))
    return dict(found)


def decode_text(data: bytes) -> str:
    """Text of unknown encoding: byte order mark, UTF-16 by its zero bytes, UTF-8, then legacy encodings.

    A legacy encoding is chosen by how many of the decoded characters are everyday ones in it, because nearly
    every byte sequence decodes as *some* Chinese.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if data[:200].count(0) > 0.2 * len(data[:200]):
        return data.decode("utf-16-be" if data[0] == 0 else "utf-16-le", errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    best, best_score = "cp1252", -1.0
    for encoding in ("gb18030", "big5", "shift_jis", "euc_kr", "cp1251", "cp1252"):
        try:
            score = _everyday(data.decode(encoding), encoding)
        except UnicodeDecodeError:
            continue
        if score > best_score:
            best, best_score = encoding, score
    return data.decode(best, errors="replace")


def _everyday(text: str, encoding: str) -> float:
    """Share of a text's non-ASCII characters that are everyday ones of the encoding's language."""
    odd = [character for character in text if ord(character) > 127]
    if encoding == "cp1251":  # a Cyrillic letter inside a Latin word is a Western accent read wrongly
        odd_words = [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]
        pure = sum(all("\u0400" <= letter <= "\u04ff" for letter in word) for word in odd_words)
        return 0.9 * pure / max(1, len(odd_words))
    share = sum(_is_everyday(character, encoding) for character in odd) / max(1, len(odd))
    if encoding == "euc_kr" and share == 1 and len(odd) >= 4:
        return 1.01  # Hangul fills a part of the bytes of common Chinese: all of it by chance is unlikely
    return share


def _is_everyday(character: str, encoding: str) -> float:
    try:
        if encoding == "gb18030":  # GB 2312 level 1: the 3,755 commonest characters, and punctuation
            lead = character.encode("gb2312")[0]
            return 0xA1 <= lead <= 0xA3 or 0xB0 <= lead <= 0xD7
        if encoding == "big5":  # level 1: the 5,401 commonest traditional characters, and punctuation
            return 0xA1 <= character.encode("big5")[0] <= 0xC6
    except UnicodeEncodeError:
        return 0.0
    if encoding == "shift_jis":  # half-width katakana are what Chinese bytes turn into
        return 1.0 if "\u3001" <= character <= "\u30ff" else 0.5 if "\u4e00" <= character <= "\u9fff" else 0.0
    if encoding == "euc_kr":
        return "\uac00" <= character <= "\ud7a3"
    return 0.8 * (character in "àáâãäåæçèéêëìíîïñòóôõöøùúûüýÿßœÀÁÂÄÇÈÉÊÑÓÖÜ¿¡«»‘’“”–—…€£")


def read_cues(path: Path) -> tuple[Cue, ...]:
    """All subtitles of a file in order of time, without tags and sound descriptions. Raises `BadSidecar`."""
    import pysubs2

    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadSidecar(f"it is larger than {MAX_BYTES >> 20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise BadSidecar(f"it cannot be read ({error.strerror})") from error
    if not data.strip():
        raise BadSidecar("it is empty")
    text = decode_text(data).lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    try:
        file = pysubs2.SSAFile.from_string(text, format_=path.suffix.lower().lstrip("."))
    except Exception as error:  # a parser fed with arbitrary bytes may raise anything
        raise BadSidecar(f"it is not a subtitle file ({type(error).__name__})") from error
    cues = [
        Cue(event.start / 1000, event.end / 1000, spoken)
        for event in sorted(file.events, key=lambda event: (event.start, event.end))
        if event.end > event.start and (spoken := plain(event.plaintext))
    ]
    if not file.events:
        raise BadSidecar("no subtitle with a time stands in it")
    return tuple(cues)


def plain(text: str) -> str:
    """One line of spoken text: no tags, no entities, no sound descriptions."""
    lines = (_TAG.sub("", html.unescape(line)).strip() for line in text.split("\n"))
    kept = [re.sub(r"\s+", " ", line) for line in lines if line and not _CUE.match(line)]
    return " ".join(kept).replace("\x00", "").strip()


def overlapping(cues: Iterable[Cue], seconds: float) -> Sequence[str]:
    """Texts shown between 0 and `seconds`; a text that rolls over from cue to cue counts once."""
    texts: list[str] = []
    for cue in cues:
        if cue.start < seconds and cue.end > 0 and (not texts or texts[-1] != cue.text):
            texts.append(cue.text)
    return texts


def sidecar_key(clip: Path) -> list[list[Any]]:
    """Subtitle files beside the clip, by name, size and time: enough to see that one came or changed."""
    return [[path.name, (stat := path.stat()).st_size, stat.st_mtime_ns] for path in find_sidecars(clip)]
