"""Subtitle files beside a clip: found, decoded, and read."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections import defaultdict
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from merrflow.formats.subtitle_cues import BadSidecar, parse
from merrflow.formats.subtitle_text import Cue, overlapping, spoken
from merrflow.formats.text_encoding import UnknownEncoding, decode
from merrflow_serving.media.languages import language_of

__all__ = ["SUFFIXES", "BadSidecar", "Cue", "find_sidecars", "overlapping", "read_cues", "sidecar_key"]

SUFFIXES = (".srt", ".vtt", ".ass", ".ssa", ".lrc")  # where a clip has several, in this order
MAX_BYTES = 256 << 10  # of a clip of minutes; an hour of plain subtitles has 60 KiB
_RANKS = {"": 0, "en": 2}  # by language; 1 is the clip's full name, 3 any other language
_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][a-z]{2,4})?")
Listing: TypeAlias = Mapping[str, list[tuple[str, Path]]]  # of a folder: stem -> language tag or "", subtitle file


def find_sidecars(
    clip: Path, language: str = "", listed: MutableMapping[str, Listing] | None = None
) -> tuple[Path, ...]:
    """The subtitle files that belong to a clip, best first.

    For `a.mp4`: `a.srt`, `a.vtt` and the other `SUFFIXES`, `a.mp4.srt`, then `a.en.srt` and other languages. Any case
    of the suffix. language: an ISO 639 code as of `language_of`; files that name it come before all others. listed: for
    many clips at one moment, the folders that were listed in it; this one's is added. Raises `OSError` if the system
    does not say what one of them is.
    """
    folder = os.path.dirname(clip)
    beside = listed.get(folder) if listed is not None else None
    if beside is None:
        beside = _listing(folder)
        if listed is not None:
            listed[folder] = beside
    if not beside:
        return ()
    ranks = _RANKS | ({language: -1} if language else {})
    found = [(ranks.get(language_of(tag) or tag, 3), path) for tag, path in beside.get(clip.stem.casefold(), ())]
    found += [(1, path) for tag, path in beside.get(clip.name.casefold(), ()) if not tag]
    return tuple(path for _, path in sorted(found, key=_place) if _is_file(path))


def _place(found: tuple[int, Path]) -> tuple[int, int, str]:
    rank, path = found
    return rank, SUFFIXES.index(path.suffix.lower()), path.name


def _listing(folder: str) -> Listing:
    """Empty if the folder cannot be read."""
    try:
        return _subtitle_files(folder, os.stat(folder).st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=64)
def _subtitle_files(folder: str, mtime_ns: int) -> Listing:
    """A folder's subtitle files by the stem they belong to, each with its language tag or "".

    Read once for all clips of a folder; `mtime_ns` makes it read again when files came or went.
    """
    found: dict[str, list[tuple[str, Path]]] = defaultdict(list)
    for name in os.listdir(folder):  # as text: a Path for each of 70,000 clips would cost a second
        if os.path.splitext(name)[1].lower() not in SUFFIXES:
            continue
        path = Path(folder, name)
        stem = path.stem.casefold()
        found[stem].append(("", path))
        base, _, tag = stem.rpartition(".")
        if base and _LANGUAGE.fullmatch(tag):
            found[base].append((tag, path))
    return dict(found)


def _is_file(path: Path) -> bool:
    """Not a folder, nor a link to nothing. Asked anew for each clip: where a link leads, its folder does not know."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return False
        raise


def read_cues(path: Path, encoding: str = "") -> tuple[Cue, ...]:
    """What is said in a file, in order of time, without tags and sound descriptions.

    encoding: of files that are not Unicode; empty: the likeliest. Raises `BadSidecar`.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadSidecar(f"it cannot be read ({error.strerror})") from error
    if len(data) > MAX_BYTES:
        raise BadSidecar(f"it is larger than {MAX_BYTES >> 10} KiB")
    if not data.strip():
        raise BadSidecar("it is empty")
    try:
        text = decode(data, encoding, option="MERRFLOW_SUBTITLE_ENCODING")
    except UnknownEncoding as error:
        raise BadSidecar(str(error)) from error
    return spoken(parse(text, path.suffix.lower()))


def sidecar_key(clip: Path, listed: MutableMapping[str, Listing] | None = None) -> list[list[Any]]:
    """Subtitle files beside the clip, by name, size and time: enough to see that one came or changed. listed: as of
    `find_sidecars`.

    Raises `OSError` if one of them cannot be read any more.
    """
    return [
        [path.name, (found := path.stat()).st_size, found.st_mtime_ns] for path in find_sidecars(clip, listed=listed)
    ]
