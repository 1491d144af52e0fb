"""Other distributions that add to merrflow: installed as their users would, or planted with something wrong in them."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from merrflow.datasets.curation.config import config_type, packaged
from merrflow.datasets.curation.registry import known_filters
from tests.forks import merrflow


def install(distribution: Path, to: Path) -> Path:
    """Builds and installs a distribution from its sources into the folder `to`/site, for PYTHONPATH."""
    source = shutil.copytree(distribution, to / "source")
    offline = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(to / "site"), str(source)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return to / "site"


def plant(folder: Path, name: str, group: str, points: Mapping[str, str], source: str = "") -> Path:
    """Writes what an installation leaves: the module `name`.py, and the metadata of version 1.0 with its entry points.

    points: name -> "module:Class".
    """
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{point} = {value}\n" for point, value in points.items()]
    (information / "entry_points.txt").write_text(f"[{group}]\n{''.join(lines)}")
    (folder / f"{name}.py").write_text(source)
    return folder


@contextmanager
def importable(site: Path, *modules: str) -> Iterator[None]:
    """Makes planted distributions those of this process, and forgets them and their modules afterwards."""
    caches = (known_filters, config_type, packaged)
    for cache in caches:
        cache.cache_clear()
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(site))
        for module in modules:
            sys.modules.pop(module, None)
        for cache in caches:
            cache.cache_clear()


def refused(*arguments: object, path: Path) -> str:
    """The one line with which the command refuses, and its exit code is 2."""
    ended = merrflow(*arguments, path=path)
    assert ended.returncode == 2, ended.stderr
    (line,) = ended.stderr.splitlines()
    return line
