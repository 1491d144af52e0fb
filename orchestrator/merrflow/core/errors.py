"""The errors of a run: unusable arguments, and what stops a run although no clip is to blame."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from merrflow.core.paths import path_text
from merrflow_serving.errors import MerrflowError, as_line

# Of the place that was named; what else keeps a file from being written, such as a full disk, is the system's.
_OF_THE_PLACE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENOENT, errno.EEXIST),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.EBUSY, errno.ENOTEMPTY),
)


class InputError(ValueError):
    """Unusable arguments, reported in one line before any work starts."""


class RunStopped(MerrflowError):
    """Every further clip would meet the same, so none gets an outcome for it."""


class OutputsGone(RunStopped):
    """The output folder cannot be written. What is done is in the ledger."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "OUTPUTS_GONE"
    retryable = False


class FileAway(MerrflowError):
    """A clip's file, or one that belongs to it, cannot be read or is not the one that was registered. It may come back,
    so the clip is not to blame."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "FILE_AWAY"


class ClipsAway(RunStopped):
    """The files of many clips in a row are away: most likely their folder is."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "CLIPS_AWAY"


class WitnessAway(MerrflowError):
    """A second engine cannot be asked in this run. It costs no record; the next run asks it again."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "WITNESS_AWAY"


def why_unread(error: Exception) -> str:
    """Why a file could not be read, in one line; of an error of the system without its number and the file's name."""
    return (error.strerror if isinstance(error, OSError) else None) or as_line(str(error))


@contextmanager
def reading_clip() -> Iterator[None]:
    """Raises `FileAway` if a file cannot be read."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not the system's, such as a time-out of asyncio
            raise
        where = f": {path_text(Path(os.fsdecode(error.filename)))}" if isinstance(error.filename, str | bytes) else ""
        raise FileAway(f"{error.strerror or error}{where}") from error


@contextmanager
def writing_outputs(out: Path) -> Iterator[None]:
    """Raises `OutputsGone` with what to do if a file cannot be written."""
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise OutputsGone(
            f"the output files in {out} cannot be written ({error.strerror or error}{where}); the earlier ones are "
            "still whole. Make room, or make it writable, and run the same command again: finished work is not done "
            "again"
        ) from error


def unwritable(place: Path, error: OSError, hint: str = "") -> InputError | OutputsGone:
    """The error to raise if a file or folder that the user named cannot be written: `InputError` if another place would
    do, `OutputsGone` if the disk is full or fails. hint: what to do, the end of the message."""
    kind = InputError if error.errno in _OF_THE_PLACE else OutputsGone
    return kind(f"{place}: cannot be written ({error.strerror or error})" + (f"; {hint}" if hint else ""))


def stop_in(error: BaseException) -> MerrflowError | None:
    """The error that stopped a run, out of the groups that its tasks wrap around it; None if it is another."""
    if isinstance(error, MerrflowError):
        return error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return next((stop for one in inner if (stop := stop_in(one))), None)


@contextmanager
def ungrouped() -> Iterator[None]:
    """Raises what stopped a task group as itself. (What is raised under `except*` would come out in a group again.)"""
    try:
        yield
    except BaseExceptionGroup as group:
        if stop := stop_in(group):
            raise stop from None
        raise


def listed(names: Iterable[str], most: int = 300) -> str:
    """Names from a file as a part of a message: control characters escaped, and not longer than `most` characters."""
    text = ", ".join(names) or "none"
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: most + 1])
    return text if len(text) <= most else text[:most] + "..."
