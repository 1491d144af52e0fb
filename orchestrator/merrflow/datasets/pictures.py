"""The pictures of the peak frames: each is checked before it is used, and made again from its clip if it is damaged.

A picture is an output like the report: it follows from the ledger, and from the clip's own bytes.
"""

from __future__ import annotations

import os
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from merrflow.core.atomic_files import whole_bytes
from merrflow.core.fingerprint import file_sha256, plain_fingerprint
from merrflow.core.paths import text_path
from merrflow.core.records import Record
from merrflow_serving.errors import MerrflowError, UnreadableMedia

FOLDER = "peaks"  # in an output folder
_START, _END = b"\xff\xd8", b"\xff\xd9"  # of a JPEG (ITU-T T.81, table B.1)
_NO_FRAME = (0xC4, 0xC8, 0xCC)  # markers among 0xC0 to 0xCF without a frame's size


@dataclass(frozen=True)
class Pictures:
    """The pictures of a dataset, `<name>.jpg` in a folder."""

    folder: Path

    def of(self, record: Record) -> Path | None:
        """The record's picture; None if there is none, or half of one, and it cannot be made again. Blocking."""
        return None if self.mend(record) else self._path(record)

    def mend(self, record: Record) -> str:
        """Makes a picture again that is not there, cut short, or of another size than the clip. Blocking.

        Returns "" if there is a whole one now, or else why not, in a few words. One of another size stays if it cannot
        be made again: the frames of a few clips change their size.
        """
        path = self._path(record)
        from merrflow.stages.peak_frame import read_picture  # loads ffmpeg, which few need

        size = jpeg_size(path)
        if size == (record.probe.width, record.probe.height):
            return ""
        try:
            clip = text_path(record.path)
            if file_sha256(clip) != record.sha256:
                raise UnreadableMedia("the clip has other bytes than the record was made of")
            whole_bytes(path, read_picture(clip, record.picture_index))
        except (MerrflowError, OSError) as error:
            return "" if size else str(error)
        return ""

    def lost(self, names: Set[str]) -> Set[str]:
        """Those of these clips whose picture is not there or empty, by one look at the folder."""
        return names - {name.removesuffix(".jpg") for name, size, _ in self._listing() if size}

    def state(self) -> str:
        """32 hex digits that change with every picture that is written, by one look at the folder."""
        return plain_fingerprint(sorted(self._listing()))

    def _path(self, record: Record) -> Path:
        return self.folder / f"{record.name}.jpg"

    def _listing(self) -> list[tuple[str, int, int]]:
        """Name, size and mtime_ns of each file."""
        try:
            with os.scandir(self.folder) as found:
                stats = [(entry.name, entry.stat()) for entry in found if entry.name.endswith(".jpg")]
        except OSError:
            return []
        return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def jpeg_size(path: Path) -> tuple[int, int] | None:
    """Width and height in pixels of a JPEG that is not cut short; None if there is none. Reads its two ends alone."""
    try:
        with path.open("rb") as file:
            size = _frame_size(file)
            file.seek(-len(_END), os.SEEK_END)
            return size if file.read() == _END else None
    except OSError:
        return None


def _frame_size(file: BinaryIO) -> tuple[int, int] | None:
    """From the frame header, which follows a few other segments (ITU-T T.81, B.2.2)."""
    if file.read(2) != _START:
        return None
    while len(head := file.read(4)) == 4 and head[0] == 0xFF:
        if head[1] & 0xF0 == 0xC0 and head[1] not in _NO_FRAME:
            frame = file.read(5)
            return int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3])
        file.seek(int.from_bytes(head[2:]) - 2, os.SEEK_CUR)
    return None
