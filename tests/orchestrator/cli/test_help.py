"""`merrflow --help`: fast, and nothing in it is lost as markup."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("sqlalchemy", "prefect", "numpy", "av", "yaml", "pydantic_settings", "torch")


@pytest.mark.parametrize("command", ["", "run", "worker", "call", "mine", "review", "audit", "compare", "score"])
def test_help_imports_no_large_library(command: str) -> None:
    code = (
        "import sys; from merrflow.cli.app import app; app(sys.argv[1:], standalone_mode=False); "
        f"sys.exit(', '.join(name for name in {HEAVY} if name in sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *command.split(), "--help"], capture_output=True, text=True, check=False
    )
    assert "Usage: " in ran.stdout
    assert not ran.stderr.strip()


def test_square_brackets_are_shown() -> None:
    command = [sys.executable, "-c", "from merrflow.cli import main; main()", "models", "pull", "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "[@revision]" in "".join(ran.stdout.split())
