"""The clips themselves, for exports that hold them. None of their own names or places is written."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from merrflow.core.errors import InputError
from merrflow.core.fingerprint import file_sha256
from merrflow.core.paths import text_path
from merrflow.core.records import Record
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


def place(source: Path, target: Path) -> None:
    """Gives a file a second name in an export, or copies it where that cannot be, as across file systems.

    Raises `InputError` if there is such a file already, and `OSError`.
    """
    check_free(target)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


def check_free(target: Path) -> None:
    """Raises `InputError` if an export has such a file already: of a clip whose name differs in case alone."""
    if target.exists():
        raise InputError(
            f"{target.name}: two clips would have this file name, for the file system takes A and a for one; rename "
            "one of them, or choose a folder on another file system with --to"
        )


def sound_of(clip: Path) -> bytes | None:
    """The sound track to be heard as a WAV file, 16 kHz, mono, 16 bit; None if there is none that can be decoded."""
    from merrflow_serving.media.audio import decode_audio, encode_wav  # loads ffmpeg, which few need

    try:
        samples = decode_audio(clip)
    except (MerrflowError, OSError):
        return None
    return encode_wav(samples) if samples.size else None
