"""From what the user named (files, folders, tables) to clips with paths.

Only tables are opened here; a clip that turns out not to be a video gets its outcome later.
"""

from __future__ import annotations

import csv
import os
import stat
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from merrflow.core.errors import InputError, listed
from merrflow.core.inputs import Found
from merrflow.core.paths import path_text
from merrflow.core.places import Places

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .flv .wmv .3gp .ogv .gif".split()  # noqa: SIM905
)


def find_clips(inputs: Sequence[str | Path]) -> list[Found]:
    """The clips in files, folders and tables, sorted by path, each once.

    A folder gives its video files, at any depth, by suffix in any case, also from folders that it links to; a
    file named by itself is taken whatever its suffix. A file to which links lead twice is taken once. A table is a
    CSV with a column `path`, and perhaps `name`, `sentence` and `label`; its paths are relative to it. Raises
    `InputError`.
    """
    if not inputs:
        raise InputError("nothing to annotate: name files, folders, or a CSV with a column `path`")
    places = Places()
    found: dict[str, Found] = {}
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
            place = places.of(clip.path)
            if place not in found or clip.name or clip.sentence or clip.label:
                found[place] = clip
    named = Counter(clip.name.casefold() for clip in found.values() if clip.name)
    for name, count in named.items():
        if count > 1:
            raise InputError(f"the table gives the name {name!r} to {count} clips; names must differ")
    return sorted(found.values(), key=lambda clip: str(clip.path))


def _absolute(path: Path) -> Path:
    """Absolute and without `..`, so that one file has one path; links stay links."""
    return Path(os.path.abspath(os.path.expanduser(path)))  # an unknown user's ~ is a name like any other


def _kind(path: Path) -> str:
    """ "file", "folder", "none" or "other": a pipe, a device. Raises `InputError` if the system does not say."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "none"
    except (OSError, ValueError) as error:  # too long a name, a loop of links, a folder that may not be entered
        raise InputError(f"{path_text(path)[:300]}: cannot be read ({getattr(error, 'strerror', error)})") from error
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "other"


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
            name, sentence, label = ((row.get(key) or "").strip() or None for key in ("name", "sentence", "label"))
            yield Found(file, name, sentence, label, row=f"{path}, line {line}")


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
