"""From what the user named (files, folders, tables) to clips with paths.

Only tables are opened here; a clip that turns out not to be a video gets its outcome later.
"""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from pathlib import Path

from merrflow.core.errors import InputError, listed
from merrflow.core.heap import growing_heap
from merrflow.core.inputs import Found
from merrflow.core.paths import path_text
from merrflow.core.places import Places
from merrflow.formats.layout import DEFAULT, Form, load_layout, suggestion
from merrflow.formats.table import SUFFIXES as TABLE_SUFFIXES
from merrflow.formats.table import read_table
from merrflow.formats.text_encoding import check_encoding
from merrflow.formats.votes import counted

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .mts .m2ts .flv .wmv .3gp .ogv .gif".split()  # noqa: SIM905
)
_OWN = Form(clip=["{path}"], sentence=["sentence"], label="label")
_BY_LIKELIHOOD = (".mp4", *sorted(VIDEO_SUFFIXES - {".mp4"}))


@growing_heap()
def find_clips(inputs: Sequence[str | Path], layout: str = "", encoding: str = "") -> list[Found]:
    """The clips in files, folders and tables, sorted by path, each once.

    A folder gives its video files, at any depth, by suffix in any case, also from folders that it links to; a
    file named by itself is taken whatever its suffix. A file to which links lead twice is taken once. A table is a CSV
    or TSV with a column `path`, and perhaps `name`, `sentence` and `label`; its paths are relative to it. layout: whose
    table it is (layout.py); it may then name clips by other columns, and they are beside it. encoding: of tables, empty
    to find it. Raises `InputError`.
    """
    if not inputs:
        raise InputError("nothing to annotate: name files, folders, or a CSV with a column `path`")
    load_layout(layout)  # a wrong name is an error whatever the inputs are
    if encoding:
        check_encoding(encoding)
    places = Places()
    found: dict[str, Found] = {}
    for text in inputs:
        path = _absolute(Path(text))
        kind = _kind(path)
        if kind == "folder":
            clips = [(Found(file), place) for file, place in _videos(path, places)]
            if not clips:
                raise InputError(f"{text}: no video files in this folder ({' '.join(sorted(VIDEO_SUFFIXES))})")
        elif kind == "none":
            raise InputError(f"{text}: no such file or folder")
        elif kind == "other":
            raise InputError(f"{text}: neither a file nor a folder; pipes and devices cannot be read twice")
        elif path.suffix.lower() in TABLE_SUFFIXES:
            clips = [(clip, places.of(clip.path)) for clip in _table(path, layout, encoding)]
        else:
            clips = [(Found(path), places.of(path))]
        for clip, place in clips:
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


def _videos(folder: Path, places: Places) -> Iterator[tuple[Path, str]]:
    """Video files under a folder, each with its place. Every real folder is read once, so that links in a circle come
    to an end, and under its own path rather than a link's, so that a new link renames nothing."""
    seen: set[str] = set()
    linked = deque([str(folder)])
    while linked:
        waiting = [linked.popleft()]
        while waiting:
            text = waiting.pop()
            real = os.path.realpath(text)
            if real in seen:
                continue
            seen.add(real)
            parent = Path(text)
            folders: list[str] = []
            for entry in _entries(text):
                may_be_link = _answer(entry.is_symlink, unknown=True)
                if _answer(entry.is_dir, unknown=False):
                    (linked if may_be_link else folders).append(entry.path)
                elif os.path.splitext(entry.name)[1].lower() in VIDEO_SUFFIXES:
                    path = parent / entry.name
                    yield path, places.of(path) if may_be_link else os.path.join(real, entry.name)
            waiting += reversed(folders)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What is in a folder and not hidden, by name; nothing if it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return sorted((entry for entry in found if not entry.name.startswith(".")), key=attrgetter("name"))
    except OSError:
        return []


def _answer(ask: Callable[[], bool], *, unknown: bool) -> bool:
    """What a folder's entry says of itself; `unknown` if the system does not say."""
    try:
        return ask()
    except OSError:
        return unknown


def _table(path: Path, layout: str, encoding: str) -> Iterator[Found]:
    """A table's clips: by `path`, or by the names that the layout makes of its columns."""
    how = load_layout(layout)
    table = read_table(path, encoding or how.encoding).complete({"path"})
    form = next((form for form in how.forms if form.fits(table.keys)), None) if layout else None
    by_path = "path" in table.keys and not (form and "path" in form.naming)
    if not by_path and form is None:
        raise InputError(
            f"{path}: the table needs a column `path`; it has: {listed(table.columns)}{suggestion(table.columns)}"
        )
    table = counted(table, form) if form else table
    how, form = (how, form) if form else (load_layout(DEFAULT), _OWN)
    said, labelled = form.said_in(table.keys), form.labelled_in(table.keys)
    lines: dict[Path, int] = {}
    for row in table.rows:
        if by_path:
            if not (written := row.cell("path")):
                raise InputError(f"{row.place}: the path is blank")
            file = _absolute(path.parent / os.path.expanduser(written))
        else:
            file = _beside(path.parent, form.names(row))
        earlier = lines.setdefault(file, row.line)
        if earlier != row.line:
            raise InputError(f"{row.place}: {file.name!r} occurs twice (first in line {earlier}); a clip has one row")
        name = row.cell("name") or None if form is _OWN else None
        label = how.label_of(row, labelled) if labelled else None
        yield Found(file, name, row.said(said) if said else None, label, row=row.place)


def _beside(folder: Path, names: Sequence[str]) -> Path:
    """The video of one of these names in a folder; if there is none, where the first would be."""
    wanted = (folder / f"{name}{suffix}" for name in names for suffix in _BY_LIKELIHOOD)
    return _absolute(next((file for file in wanted if file.exists()), folder / f"{names[0]}.mp4"))
