"""A JSON file that is one list, written an item at a time."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

from merrflow.core.atomic_files import whole_text


class JsonList:
    """The list; its end is written when `files` is closed. `count` has the items so far."""

    def __init__(self, path: Path, files: ExitStack, key: str = "") -> None:
        """key: if given, the list is the only value of an object, under this key."""
        self.count = 0
        self._start, end = (f'{{"{key}": [', "]}\n") if key else ("[", "]\n")
        self._file = files.enter_context(whole_text(path))
        files.callback(lambda: self._file.write(f"\n{end}" if self.count else self._start + end))

    def add(self, item: object) -> None:
        """Writes an item, in one line. In ASCII, for readers open such files in the system's code page."""
        self._file.write(("," if self.count else self._start) + "\n" + json.dumps(item))
        self.count += 1
