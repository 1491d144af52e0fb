"""`requirements.py FOLDER[EXTRA]...`: prints what these distributions need from a package index.

Reads the pyproject.toml files below the current folder, so that an image's dependency layer is made from them alone
and outlives every change of code. Distributions of this project are followed, not printed. Standard library only.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[(?P<extras>[^\]]*)\])?")


def requirements(root: Path, wanted: list[str]) -> list[str]:
    """Sorted requirement lines of `wanted`: folders below `root`, each with extras in brackets where needed.

    Raises `LookupError` where a distribution or an extra is not there.
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

    for item in wanted:
        folder, _, extras = item.rstrip("]").partition("[")
        metadata = tomllib.loads((root / folder / "pyproject.toml").read_text(encoding="utf-8"))
        follow(metadata["project"]["name"], extras)
    ours = sorted(line for line in found if line.startswith("merrflow"))
    if ours:
        raise LookupError(f"{', '.join(ours)}: copy its pyproject.toml into this build stage")
    return sorted(found)


if __name__ == "__main__":
    print(*requirements(Path.cwd(), sys.argv[1:]), sep="\n")
