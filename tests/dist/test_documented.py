"""docs/installing.md names each distribution with all of its extras."""

from __future__ import annotations

import re
import tomllib

from tests.paths import ROOT


def test_the_table_has_every_extra() -> None:
    page = (ROOT / "docs/installing.md").read_text()
    rows = [row.split("|")[1:4] for row in page.splitlines() if row.startswith("| `")]
    for path in [*ROOT.glob("*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")]:
        project = tomllib.loads(path.read_text())["project"]
        (extras,) = [extras for names, _, extras in rows if f"`{project['name']}`" in names]
        missing = set(project.get("optional-dependencies", {})) - set(re.findall(r"`([\w-]+)`", extras))
        assert not missing, f"{project['name']}: {missing}"
