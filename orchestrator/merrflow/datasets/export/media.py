"""The clips themselves, for exports that hold them. None of their own names or places is written."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from merrflow.core.errors import InputError
from merrflow.core.fingerprint import file_sha256
from merrflow.core.paths import text_path
from merrflow.core.records import Record
from merrflow.datasets.pictures import Pictures
from merrflow_serving.errors import MerrflowError

_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


def clip_of(record: Record) -> Path | None:
    """The record's clip; None if it is not there any more."""
    path = text_path(record.path)
    return path if path.is_file() else None


def unchanged_clip_of(record: Record) -> Path | None:
    """The same, but None also if it has other bytes than the record was made of. Reads the whole file."""
    path = clip_of(record)
    try:
        return path if path and file_sha256(path) == record.sha256 else None
    except OSError:
        return None


def film_name(record: Record) -> str:
    """The clip's file name in an export: the record's name, which is unique and safe, and the file's own suffix."""
    suffix = text_path(record.path).suffix.lower()
    return record.name + (suffix if _SUFFIX.fullmatch(suffix) else ".mp4")


def sound_of(clip: Path) -> bytes | None:
    """The sound track to be heard as a WAV file, 16 kHz, mono, 16 bit; None if there is none that can be decoded."""
    from merrflow_serving.media.audio import decode_audio, encode_wav  # loads ffmpeg, which few need

    try:
        samples = decode_audio(clip)
    except (MerrflowError, OSError):
        return None
    return encode_wav(samples) if samples.size else None


class MediaFolder:
    """Pictures, films and sounds in an export: `images/NAME.jpg`, `videos/NAME.mp4`, `audios/NAME.wav`.

    Each method returns the file's path relative to the export, or None if there is nothing to put there. They raise
    `InputError` for clips whose names differ in case alone, on file systems that take them for one, and `OSError`.
    """

    def __init__(self, folder: Path, peaks: Path) -> None:
        """folder: of the export. peaks: the run's folder of pictures."""
        self._folder = folder
        self._pictures = Pictures(peaks)

    def picture(self, record: Record) -> str | None:
        """Puts the run's picture of the clip there."""
        found = self._pictures.of(record)
        return self._put(f"images/{record.name}.jpg", partial(shutil.copyfile, found)) if found else None

    def film(self, record: Record) -> str | None:
        """Gives the clip a second name there, or copies it where that cannot be, as across file systems."""
        found = clip_of(record)
        return self._put(f"videos/{film_name(record)}", partial(_link_or_copy, found)) if found else None

    def sound(self, record: Record) -> str | None:
        """Writes the clip's sound there."""
        clip = clip_of(record)
        found = sound_of(clip) if clip else None
        return self._put(f"audios/{record.name}.wav", lambda path: path.write_bytes(found)) if found else None

    def _put(self, path: str, write: Callable[[Path], object]) -> str:
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise InputError(
                f"{path}: two clips would have this file name, for the file system takes A and a for one; rename one "
                "of them, or choose a folder on another file system"
            )
        write(target)
        return path


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)
