"""What is said of a model file that cannot be used."""

from __future__ import annotations

from pathlib import Path

from merrflow_serving import commands
from merrflow_serving.errors import NotReady


def remedy() -> str:
    """What to do about a model file that is not OpenFace's."""
    return f"run: {_pull()}, or put OpenFace's own file there"


def _pull() -> str:
    return commands.models("pull", "openface-predictors", "--accept-licence")


def fault(path: Path, problem: str) -> NotReady:
    """The error for a file with a problem; `problem` goes on after the file's name."""
    return NotReady(f"{path}: {problem}; {remedy()}", reason="MODEL_DAMAGED")


def missing(folder: Path, names: list[str]) -> NotReady:
    """The error for files that are not there."""
    shown = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    return NotReady(
        f"{folder} has no {shown}, which the engine openface_predictors needs; to get OpenFace's model files, run: "
        f"{_pull()}, or name a folder that holds them in "
        "MERRFLOW_OPENFACE_AU_PREDICTORS_FOLDER",
        reason="MODEL_MISSING",
    )


def read_bounded(path: Path, most: int) -> bytes:
    """The file's bytes. Raises `NotReady` if it cannot be read or is larger than `most` bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise fault(path, f"cannot be read ({error.strerror or error})") from error
    if len(content) > most:
        raise fault(path, f"has more than {most} bytes, so it is another file")
    return content
