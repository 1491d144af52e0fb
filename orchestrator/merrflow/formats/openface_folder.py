"""Finds the OpenFace CSV of a clip in a folder."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from merrflow.core.errors import InputError
from merrflow.core.measurements import Clip
from merrflow.core.paths import safe_name


@dataclass(frozen=True)
class OpenFaceFolder:
    """The CSV files below a folder, listed once; for many clips."""

    folder: Path
    files: dict[str, tuple[Path, ...]]  # by `_key` of the stem

    @classmethod
    def read(cls, folder: Path) -> OpenFaceFolder:
        """Raises `InputError` if there is no such folder or no CSV in it."""
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; name one with OpenFace's CSV files")
        files: dict[str, list[Path]] = {}
        for place, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                stem, suffix = os.path.splitext(name)
                if suffix.lower() == ".csv" and not name.startswith("."):
                    files.setdefault(_key(stem), []).append(Path(place, name))
        if not files:
            raise InputError(f"{folder}: no CSV files in this folder; OpenFace writes one for each clip")
        return cls(folder, {key: tuple(paths) for key, paths in files.items()})

    def named(self, name: str) -> tuple[Path, ...]:
        """The files of this name, in any case and at any depth."""
        return self.files.get(_key(name), ())

    def find(self, clip: Clip) -> Path | None:
        """The file for a clip: by the clip's name, else by its file's stem, in any case and at any depth.

        Of several, the one whose folders are named like the clip's, or whose case is the clip's. A clip that has its
        folder's name before its own, because another clip has the same stem, needs that folder's file. Raises
        `InputError` if several fit alike.
        """
        parent = clip.path.parent.name.casefold()
        by_name = self.named(clip.name)
        by_stem = self.named(clip.path.stem)
        if named_by_folder(clip):
            by_stem = tuple(path for path in by_stem if path.parent.name.casefold() == parent)
        for names, stem in ((by_name, clip.name), (by_stem, clip.path.stem)):
            best = _nearest(names, stem, clip)
            if len(best) > 1:
                raise InputError(
                    f"{self.folder}: two files fit the clip {clip.name}: {best[0]} and {best[1]}; keep one of them, "
                    "or the folders of the clips"
                )
            if best:
                return best[0]
        return None


def named_by_folder(clip: Clip) -> bool:
    """Whether the folder's name comes before the clip's own, because another clip has the same stem."""
    return clip.name.casefold().startswith(safe_name(f"{clip.path.parent.name}__").casefold())


def _key(stem: str) -> str:
    """The same for names that differ only in case or in how an accent is written."""
    return unicodedata.normalize("NFC", stem).casefold()


def _nearest(paths: Iterable[Path], stem: str, clip: Clip) -> list[Path]:
    """Those of the files that share most of the clip's folders, then the case of its name."""

    def shared(path: Path) -> tuple[int, bool]:
        count = 0
        for one, other in zip(reversed(path.parts[:-1]), reversed(clip.path.parts[:-1]), strict=False):
            if one.casefold() != other.casefold():
                break
            count += 1
        return count, path.stem == stem

    ranked = [(shared(path), path) for path in paths]
    best = max((rank for rank, _ in ranked), default=None)
    return [path for rank, path in ranked if rank == best]
