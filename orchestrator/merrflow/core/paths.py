"""Paths as text that any database, JSON file or message can hold, and names that are safe as file names."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from pathlib import Path

NAME_BYTES = 180  # leaves room for a suffix within the 255 bytes a file name may have
ESCAPED = "escaped:"  # marks a path that `path_text` had to escape; no absolute path starts with it
_UNSAFE = frozenset('/\\:*?"<>|')
_LONE = re.compile("[\udc80-\udcff]")  # bytes 0x80 to 0xFF that are not UTF-8, as `os.fsdecode` writes them


def path_text(path: Path) -> str:
    """The path as valid Unicode, for databases, JSON and messages; `text_path` turns it back.

    File names are bytes, and Python keeps those that are not UTF-8 as lone surrogates, which nothing can store.
    Such a path becomes "escaped:/data/caf%E9.mp4"; every other absolute path stays as it is.
    """
    text = str(path)
    if not text.startswith(ESCAPED) and not _LONE.search(text):
        return text
    return ESCAPED + re.sub(f"%|{_LONE.pattern}", lambda match: f"%{ord(match[0]) & 0xFF:02X}", text)


def text_path(text: str) -> Path:
    """The path that `path_text` wrote as this text."""
    if not text.startswith(ESCAPED):
        return Path(text)
    return Path(re.sub("%([0-9A-F]{2})", _unescaped, text.removeprefix(ESCAPED)))


def expanded(path: str | Path) -> Path:
    """The path with `~` as the home folder. One of a user who does not exist stays as it is, as in a shell."""
    return Path(os.path.expanduser(path))


def safe_name(text: str) -> str:
    """`text` as a name that works as a file name and in MERR's space-separated TXT: no blanks, no slashes."""
    text = unicodedata.normalize("NFC", text)
    kept = "".join(
        "_" if c.isspace() or c in _UNSAFE or unicodedata.category(c).startswith("C") else c for c in text
    ).lstrip(".-")
    if len(kept.encode()) > NAME_BYTES:
        digest = hashlib.sha256(kept.encode()).hexdigest()[:8]
        kept = kept.encode()[: NAME_BYTES - 10].decode(errors="ignore") + "__" + digest
    return kept or "clip"


def _unescaped(match: re.Match[str]) -> str:
    byte = int(match[1], 16)
    return chr(byte) if byte < 0x80 else chr(0xDC00 + byte)
