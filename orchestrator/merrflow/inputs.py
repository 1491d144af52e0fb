"""From what the user named (files, folders, tables) to clips with paths and names.

Nothing is opened here but tables; a clip that turns out not to be a video gets its outcome later.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import stat
import unicodedata
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

VIDEO_SUFFIXES = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".webm",
        ".avi",
        ".mpg",
        ".mpeg",
        ".ts",
        ".mts",
        ".m2ts",
        ".flv",
        ".wmv",
        ".3gp",
        ".ogv",
        ".gif",
    ]
)
NAME_BYTES = 180  # leaves room for a suffix within the 255 bytes a file name may have
ESCAPED = "escaped:"  # marks a path that `path_text` had to escape; no absolute path starts with it
_UNSAFE = frozenset('/\\:*?"<>|')
_LONE = re.compile("[\udc80-\udcff]")  # bytes 0x80 to 0xFF that are no UTF-8, as `os.fsdecode` writes them


class InputError(ValueError):
    """Unusable arguments: said in one line, before any work starts."""


@dataclass(frozen=True)
class Found:
    """One clip as the user gave it."""

    path: Path  # absolute
    name: str | None = None  # given in a table
    sentence: str | None = None
    label: str | None = None
    row: str = field(default="", compare=False)  # "table.csv, line 3" where it stands in a table, for messages


def find_clips(inputs: Sequence[str | Path]) -> list[Found]:
    """The clips in files, folders and tables, sorted by path, each once.

    A folder gives its video files, at any depth, by suffix in any case, also from folders that it links to; a
    file named by itself is taken whatever its suffix. A table is a CSV with a column `path`, and `name`,
    `sentence`, `label` where known; its paths are relative to it. Raises `InputError`.
    """
    if not inputs:
        raise InputError("nothing to annotate: name files, folders, or a CSV with a column `path`")
    found: dict[Path, Found] = {}
    for text in inputs:
        path = _absolute(Path(text))
        kind = _kind(path)
        if kind == "folder":
            clips = [Found(file) for file in _videos(path)]
            if not clips:
                raise InputError(f"{text}: no video files in this folder ({' '.join(sorted(VIDEO_SUFFIXES))})")
        elif kind == "none":
            raise InputError(f"{text}: no such file or folder")
        elif kind == "other":
            raise InputError(f"{text}: neither a file nor a folder; pipes and devices cannot be read twice")
        elif path.suffix.lower() == ".csv":
            clips = list(_table(path))
        else:
            clips = [Found(path)]
        for clip in clips:
            old = found.get(clip.path)
            if old is None or (clip.name or clip.sentence or clip.label):
                found[clip.path] = clip
    named = Counter(clip.name.casefold() for clip in found.values() if clip.name)
    for name, count in named.items():
        if count > 1:
            raise InputError(f"the table gives the name {name!r} to {count} clips; names must differ")
    return sorted(found.values(), key=lambda clip: str(clip.path))


def path_text(path: Path) -> str:
    """The path as valid Unicode, for databases, JSON and messages; `text_path` turns it back.

    File names are bytes, and Python keeps those that are no UTF-8 as lone surrogates, which nothing can store.
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


def assign_names(found: Iterable[Found], taken: dict[str, Path]) -> dict[Path, str]:
    """A unique, file-safe name for each clip: its given name, else its stem.

    taken: names of earlier runs and their paths; a path keeps its name for good. Where stems collide, the
    folder's name goes before them ("monday__clip_1"), and where that collides too, a hash of the path after.
    """
    keep = {path: name for name, path in taken.items()}
    used = {name.casefold() for name in taken}
    new = [clip for clip in found if clip.path not in keep]
    stems = Counter(safe_name(clip.name or clip.path.stem).casefold() for clip in new)
    names = dict(keep)
    for clip in new:
        name = safe_name(clip.name or clip.path.stem)
        if stems[name.casefold()] > 1 or name.casefold() in used:
            name = safe_name(f"{clip.path.parent.name}__{name}")
        if name.casefold() in used:
            name = safe_name(f"{name}__{hashlib.sha256(os.fsencode(clip.path)).hexdigest()[:8]}")
        used.add(name.casefold())
        names[clip.path] = name
    return names


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


def with_tables(
    found: Iterable[Found], names: dict[Path, str], sentences: dict[str, str], labels: dict[str, str]
) -> list[Found]:
    """The clips with the sentences and labels that tables give them by name or stem; what stands in the clip's own
    table row goes first."""
    clips = list(found)
    stems = Counter(clip.path.stem for clip in clips)
    result = []
    for clip in clips:
        # A stem that several clips share does not tell which of them is meant.
        keys = [names[clip.path], *([clip.path.stem] if stems[clip.path.stem] == 1 else [])]
        sentence = clip.sentence or next((sentences[key] for key in keys if key in sentences), None)
        label = clip.label or next((labels[key] for key in keys if key in labels), None)
        result.append(replace(clip, sentence=sentence, label=label))
    return result


def listed(names: Iterable[str], most: int = 300) -> str:
    """Names from a file as a part of a message: control characters escaped, and not longer than `most` characters."""
    text = ", ".join(names) or "none"
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: most + 1])
    return text if len(text) <= most else text[:most] + "..."


def _absolute(path: Path) -> Path:
    """Absolute and without `..`, so that one file has one path; links stay links."""
    return Path(os.path.abspath(os.path.expanduser(path)))  # an unknown user's ~ is a name like any other


def _kind(path: Path) -> str:
    """ "file", "folder", "none" or "other": a pipe, a device. Raises `InputError` where the system cannot tell."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "none"
    except (OSError, ValueError) as error:  # too long a name, a loop of links, a folder that may not be entered
        raise InputError(f"{path_text(path)[:300]}: cannot be read ({getattr(error, 'strerror', error)})") from error
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "other"


def _unescaped(match: re.Match[str]) -> str:
    byte = int(match[1], 16)
    return chr(byte) if byte < 0x80 else chr(0xDC00 + byte)


def _videos(folder: Path) -> Iterator[Path]:
    """Video files under a folder. Every real folder is read once, so that links in a circle come to an end,
    and under its own path rather than a link's, so that a new link renames nothing."""
    seen: set[str] = set()
    waiting = deque([str(folder)])
    while waiting:
        for place, folders, files in os.walk(waiting.popleft()):
            real = os.path.realpath(place)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            waiting.extend(link for name in folders if os.path.islink(link := os.path.join(place, name)))
            for name in sorted(files):
                if not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES:
                    yield Path(place, name)


def _table(path: Path) -> Iterator[Found]:
    for line, row in _rows(path, ("path",)):
        if any("\0" in value for value in row.values()):
            raise InputError(f"{path}, line {line}: holds a zero byte; the file is damaged")
        if row["path"].strip():
            file = _absolute(path.parent / os.path.expanduser(row["path"].strip()))
            given = ((row.get(key) or "").strip() or None for key in ("name", "sentence", "label"))
            yield Found(file, *given, row=f"{path}, line {line}")


def _rows(path: Path, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Each row with the number of its last line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = [name.strip() for name in reader.fieldnames or ()]
            missing = [name for name in needed if name not in columns]
            if missing:
                raise InputError(f"{path}: the table needs a column `{missing[0]}`; it has: {listed(columns)}")
            reader.fieldnames = columns
            return [
                (reader.line_num, {key: value or "" for key, value in row.items() if isinstance(key, str)})
                for row in reader
            ]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a CSV table in UTF-8 ({error})") from error
