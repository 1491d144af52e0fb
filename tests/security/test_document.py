"""docs/security.md against the tests: each line of what is defended names one that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from merrflow.core.settings import RunSettings
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


def test_each_of_them_runs_in_ci():
    """None asks for Docker or is slow; the libraries that some need are those of the tests."""
    wanted = {cells[2].strip("`").partition("::")[0] for cells in rows("What is defended")}
    assert len(wanted) > 10
    for file in wanted:
        assert not re.search(r"^pytestmark.*(DOCKER|reason_to_skip|_SLOW)", (ROOT / "tests" / file).read_text(), re.M)
    for _, _, test in rows("What is defended"):
        file, _, name = test.strip("`").partition("::")
        for node in ast.parse((ROOT / "tests" / file).read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == name:
                marks = " ".join(ast.unparse(one) for one in node.decorator_list)
                arguments = {one.arg for one in node.args.args}
                assert "environ" not in marks.replace("/proc/self/environ", "") and "slow" not in marks, test
                assert not arguments & {"container", "images", "stack"}, f"{test} needs Docker"


def test_every_setting_that_is_named_exists():
    for service, client, _ in rows("TLS, mTLS and tokens"):
        for name in re.findall(r"`([A-Z_]{5,})", service):
            assert name.lower() in ServiceSettings.model_fields, name
        for name in re.findall(r"`([A-Z_]{5,})", client):
            assert name.lower() in RunSettings.model_fields, name
