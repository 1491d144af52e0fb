"""`merrflow --help`: fast, and nothing in it is lost as markup."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from merrflow.cli.app import app

HEAVY = (
    *("prefect", "torch", "transformers", "av", "cv2", "numpy", "PIL", "onnxruntime"),
    *("sqlalchemy", "pydantic_settings", "yaml", "jinja2", "httpx", "uvicorn", "starlette", "fastapi"),
)
# Imports once, and is a process of its own for each command.
FORKS = f"""
import os, sys
from typer.main import get_command
from merrflow.cli.app import app

merrflow = get_command(app)
merrflow(["--help"], standalone_mode=False)  # imports what draws the help; if it loads more, that counts for all
for command in sys.argv[1:]:
    child = os.fork()
    if not child:
        try:
            merrflow([*command.split(), "--help"], standalone_mode=False)
        finally:
            print(f"loaded by {{command!r}}:", *(name for name in {HEAVY} if name in sys.modules), flush=True)
            os._exit(0)
    os.waitpid(child, 0)
"""


def commands(group: TyperGroup, before: str = "") -> Iterator[str]:
    yield before
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{before} {name}".strip())
        else:
            yield f"{before} {name}".strip()


def test_the_help_of_no_command_imports_a_large_library() -> None:
    found = list(commands(get_command(app)))
    assert {"", "run", "worker", "models pull", "rules fit", "curate", "export"} <= set(found)
    ran = subprocess.run([sys.executable, "-c", FORKS, *found], capture_output=True, text=True, check=True)
    assert ran.stdout.count("Usage: ") == 1 + len(found)
    assert [line for line in ran.stdout.splitlines() if line.startswith("loaded by")] == [
        f"loaded by {command!r}:" for command in found
    ]
    assert not ran.stderr.strip()


def test_the_commands_that_help_on_rules_names_are_there() -> None:
    rules = get_command(app).commands["rules"]
    named = re.search(r": (.*);", rules.help)[1].split(", ")
    assert named == ["list", "show", "fit"] and set(named) <= set(rules.commands)


@pytest.mark.parametrize("start", ["from merrflow.cli import main; main()", None])
def test_the_version_is_printed_without_a_large_library(start: str | None) -> None:
    command = ["-c", start] if start else ["-m", "merrflow"]
    ran = subprocess.run([sys.executable, "-X", "importtime", *command, "--version"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, f"merrflow {version('merrflow')}\n")
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert "merrflow.cli.app" in imported and not imported & set(HEAVY)


def test_square_brackets_are_shown() -> None:
    command = [sys.executable, "-c", "from merrflow.cli import main; main()", "models", "pull", "--help"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "[@revision]" in "".join(ran.stdout.split())
