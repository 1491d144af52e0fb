"""`requirements.py packages|models|debian FOLDER[EXTRA]`: what a distribution's image needs, one a line.

packages: from a package index, by the pyproject.toml files below the current folder; distributions of this project are
followed, not printed. models: the lines of models.txt, and debian: the Debian packages, that `[tool.merrflow.image]` of
the distribution's pyproject.toml names. So an image's dependency layer is made from metadata alone and outlives every
change of code. Standard library only.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[(?P<extras>[^\]]*)\])?")


def requirements(root: Path, wanted: str) -> list[str]:
    """Sorted requirement lines of `wanted`: a folder below `root`, with extras in brackets if needed.

    Raises `LookupError` if a distribution or an extra is missing.
    """
    projects = {
        project["name"]: project
        for path in sorted(root.glob("**/pyproject.toml"))
        if (project := tomllib.loads(path.read_text(encoding="utf-8")).get("project"))
    }
    found: set[str] = set()
    seen: set[tuple[str, str]] = set()

    def follow(name: str, extras: str) -> None:
        for extra in ["", *(part.strip() for part in extras.split(",") if part.strip())]:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            project = projects[name]
            lines = project.get("optional-dependencies", {})[extra] if extra else project.get("dependencies", [])
            for line in lines:
                parts = _REQUIREMENT.match(line)
                if parts and parts["name"] in projects:
                    follow(parts["name"], parts["extras"] or "")
                else:
                    found.add(line)

    folder, extras = _split(wanted)
    follow(_metadata(root, folder)["project"]["name"], extras)
    ours = sorted(line for line in found if line.startswith("merrflow"))
    if ours:
        raise LookupError(f"{', '.join(ours)}: copy its pyproject.toml into this build stage")
    return sorted(found)


def image(root: Path, wanted: str, kind: str) -> list[str]:
    """The list `kind` (models, debian) of `[tool.merrflow.image]`, or of its table for these extras; default none."""
    folder, extras = _split(wanted)
    table = _metadata(root, folder).get("tool", {}).get("merrflow", {}).get("image", {})
    return {**table, **table.get(extras, {})}.get(kind, [])


def models(root: Path, wanted: str) -> list[str]:
    """The pinned lines of `models.txt` for the image. Raises `LookupError` if a package is not in it."""
    pinned = {line.split("==")[0]: line for line in (root / "models.txt").read_text(encoding="utf-8").splitlines()}
    return [pinned[name] for name in image(root, wanted, "models")]


def _split(wanted: str) -> tuple[str, str]:
    folder, _, extras = wanted.rstrip("]").partition("[")
    return folder, extras


def _metadata(root: Path, folder: str) -> dict[str, Any]:
    return tomllib.loads((root / folder / "pyproject.toml").read_text(encoding="utf-8"))


if __name__ == "__main__":
    kind, wanted = sys.argv[1:]
    here = Path.cwd()
    lines = {
        "packages": lambda: requirements(here, wanted),
        "models": lambda: models(here, wanted),
        "debian": lambda: image(here, wanted, "debian"),
    }[kind]()
    sys.stdout.write("".join(f"{line}\n" for line in lines))
