"""Small files, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Writes beside `path` and puts the result in its place. Raises `OSError`; then `path` is as it was."""
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(partial, 0o644)  # mkstemp's own mode would keep other users of a shared folder out
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
