"""Where files really are: two paths to one file through a linked folder are one place."""

from __future__ import annotations

import os
from pathlib import Path

_LINKS = 40  # in a row, as many as Linux follows


class Places:
    """Remembers the folders that it has resolved, so that thousands of files in one folder cost one look."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def of(self, path: Path) -> str:
        """The file's real path under the name that people see.

        Linked folders are resolved, and so is a link to a file of the same name. A link to another name is a place of
        its own: git-annex and DVC link each file to one that is named by its hash, and files with the same bytes to
        the same one.
        """
        folder, name = os.path.split(path)
        place = os.path.join(self._real(folder), name)
        for _ in range(_LINKS):
            try:
                target = os.path.join(os.path.dirname(place), os.readlink(place))
            except OSError:  # not a link
                break
            if os.path.basename(target) != name:
                break
            place = os.path.join(self._real(os.path.dirname(target)), name)
        return place

    def _real(self, folder: str) -> str:
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return self._folders[folder]
