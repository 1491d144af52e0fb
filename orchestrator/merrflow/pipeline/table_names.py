"""Whether the names in a table say which clips are meant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from merrflow.core.errors import InputError
from merrflow.core.inputs import Found, table_keys
from merrflow.core.paths import path_text, safe_name

BY_PATH = "give sentences and labels in a table with a column `path` instead of a folder of clips, or "


def check_table(table: Mapping[str, str], names: Mapping[Path, str], found: Sequence[Found], file: str) -> None:
    """table: sentences or labels by name. Raises `InputError` if it names none of the clips, because it belongs to
    another dataset or writes names differently, and as `check_renamed`."""
    if not table:  # of 70,000 clips that would take a second
        return
    known = {key for keys in table_keys(found, names).values() for key in keys}
    if not known & set(table):
        own = min(names[clip.path] for clip in found)
        raise InputError(f"{file}: names none of the {len(found)} clips; it has {min(table)!r}, and the clips {own!r}")
    check_renamed(table.get, names, found, file, BY_PATH)


def check_renamed(
    row: Callable[[str], Any], names: Mapping[Path, str], found: Sequence[Found], file: str, advice: str = ""
) -> None:
    """A clip keeps its name when its file is renamed, and another file may then have that name. Raises `InputError` if
    a row may therefore mean two clips, or a clip have two rows that differ.

    names: of all clips of the dataset. row: what the file has under a name; None if nothing. advice: what else to do
    than to choose another folder.
    """
    stems = Counter(clip.path.stem for clip in found)
    taken = set(names.values())
    for clip in found:
        name, stem = names[clip.path], clip.path.stem
        if stems[stem] > 1 or _is_named_after(clip, name):
            continue
        by_name, by_file = row(name), row(stem)
        if by_name == by_file:
            continue
        if (by_name is not None or stem in taken) and (by_file is not None or name in stems):
            raise InputError(
                f"{file}: the file of clip {name!r} was renamed to {path_text(clip.path)!r}, so that {name!r} and "
                f"{stem!r} may each mean it or another clip; {advice}choose another folder for the output"
            )


def _is_named_after(clip: Found, name: str) -> bool:
    """Whether the clip has its name from its file or its table, and was not renamed since."""
    own = safe_name(clip.name or clip.path.stem)
    return name == own or name.endswith(f"__{own}") or f"__{own}__" in name
