"""docs/security.md against the tests: each line of what is defended names one that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from merrflow.settings import RunSettings
from merrflow_serving.settings import ServiceSettings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/security.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Cells of the table under a heading, without its head."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_line_of_what_is_defended_names_a_test_that_exists():
    found = rows("What is defended")
    assert len(found) > 20
    for against, _, test in found:
        match = re.fullmatch(r"`([\w/]+\.py)(?:::(test_\w+))?`", test)
        assert match, f"{against}: {test}"
        tree = ast.parse((ROOT / "tests" / match[1]).read_text())
        tests = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
        assert match[2] is None or match[2] in tests, f"{against}: {test}"


def test_every_setting_that_is_named_exists():
    for service, client, _ in rows("TLS, mTLS and tokens"):
        for name in re.findall(r"`([A-Z_]{5,})", service):
            assert name.lower() in ServiceSettings.model_fields, name
        for name in re.findall(r"`([A-Z_]{5,})", client):
            assert name.lower() in RunSettings.model_fields, name
