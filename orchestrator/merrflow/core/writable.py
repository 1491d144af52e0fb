"""Whether a folder can be written to, before any work starts."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from merrflow.core.errors import InputError
from merrflow.core.paths import expanded


def existing(path: Path) -> Path:
    """The path, or the nearest of its parents that is there."""
    absolute = expanded(path).absolute()
    return next(one for one in (absolute, *absolute.parents) if one.exists())


def why_not_writable(folder: Path) -> str:
    """The reason, or "". By writing a file: a mode says nothing of a file system that is mounted read-only."""
    if not folder.is_dir():
        return "this is not a folder"
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def check_writable(out: Path, option: str) -> None:
    """Raises `InputError` if the folder, or the one in which it will be made, cannot be written to."""
    there = existing(out)
    if problem := why_not_writable(there):
        raise InputError(
            f"{option} {out}: {there} cannot be written to by user {os.geteuid()} ({problem}); make it writable, or "
            f"run as its owner (in containers OUT_USER={there.stat().st_uid}:{there.stat().st_gid})"
        )
