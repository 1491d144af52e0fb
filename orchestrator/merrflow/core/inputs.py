"""Clips as the user gave them: names that are unique in a dataset, and what tables say about them."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from merrflow.core.heap import growing_heap
from merrflow.core.paths import path_text, safe_name, text_path


@dataclass(frozen=True)
class Found:
    """One clip as the user gave it."""

    path: Path  # absolute
    name: str | None = None  # given in a table
    sentence: str | None = None
    label: str | None = None
    row: str = field(default="", compare=False)  # "table.csv, line 3" if it comes from a table, for messages


@growing_heap()
def assign_names(found: Iterable[Found], taken: Mapping[str, str]) -> dict[Path, str]:
    """A unique, file-safe name for each clip, also for those of `taken`: its given name, else its stem.

    taken: names of earlier runs and their paths as `path_text` writes them; a path keeps its name for good. If stems
    collide, the folder's name goes before them ("monday__clip_1"), and if that collides too, a hash of the path goes
    after.
    """
    keep = {path: name for name, path in taken.items()}
    new: list[Found] = []
    names: dict[Path, str] = {}
    for clip in found:
        if (name := keep.pop(path_text(clip.path), None)) is not None:
            names[clip.path] = name
        elif clip.path not in names:
            new.append(clip)
    names |= {text_path(path): name for path, name in keep.items()}  # of clips that this run leaves alone
    used = {name.casefold() for name in taken}
    stems = Counter(safe_name(clip.name or clip.path.stem).casefold() for clip in new)
    for clip in new:
        name = safe_name(clip.name or clip.path.stem)
        if stems[name.casefold()] > 1 or name.casefold() in used:
            name = safe_name(f"{clip.path.parent.name}__{name}")
        if name.casefold() in used:
            name = safe_name(f"{name}__{hashlib.sha256(os.fsencode(clip.path)).hexdigest()[:8]}")
        used.add(name.casefold())
        names[clip.path] = name
    return names


def table_keys(found: Iterable[Found], names: Mapping[Path, str]) -> dict[Path, tuple[str, ...]]:
    """By what tables may call each clip: its name, its file's with or without the suffix, each also after its folder's.

    What several clips share does not say which of them is meant, and is left out.
    """
    clips = list(found)
    stems = Counter(clip.path.stem for clip in clips)
    folders = Counter((clip.path.parent.name, clip.path.stem) for clip in clips)
    keys = {}
    for path in (clip.path for clip in clips):
        own = [path.stem, path.name] if stems[path.stem] == 1 else []
        folder = path.parent.name
        within = [f"{folder}/{path.stem}", f"{folder}/{path.name}"] if folders[folder, path.stem] == 1 else []
        keys[path] = (names[path], *own, *within)
    return keys


def with_tables(
    found: Iterable[Found], names: dict[Path, str], sentences: dict[str, str], labels: dict[str, str]
) -> list[Found]:
    """The clips with the sentences and labels that tables give them by one of their `table_keys`; the clip's own table
    row goes first."""
    clips = list(found)
    keys = table_keys(clips, names)
    result = []
    for clip in clips:
        sentence = clip.sentence or next((sentences[key] for key in keys[clip.path] if key in sentences), None)
        label = clip.label or next((labels[key] for key in keys[clip.path] if key in labels), None)
        result.append(replace(clip, sentence=sentence, label=label))
    return result
