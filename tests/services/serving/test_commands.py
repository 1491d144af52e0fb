"""Commands in messages, in and out of containers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from merrflow_serving import commands

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("service", "extra", "outside", "inside"),
    [
        ("llama3", "torch", "pip install 'merrflow-llama3[torch]'", "EXTRAS=torch deploy/build-images.sh llama3"),
        ("whisper", "openai", "pip install 'merrflow-whisper[openai]'", "build its image with EXTRAS=openai"),
    ],
)
def test_a_package_that_is_missing(monkeypatch, service: str, extra: str, outside: str, inside: str) -> None:
    assert commands.install(service, extra) == outside and not commands.in_container()
    monkeypatch.setenv("MERRFLOW_MODELS_COMMAND", "docker-compose run --rm weights")
    assert commands.install(service, extra).startswith(inside) and commands.in_container()


@pytest.mark.parametrize("file", ["services/Dockerfile", "orchestrator/Dockerfile"])
def test_every_image_names_its_command(file: str) -> None:
    assert re.search(r'MERRFLOW_MODELS_COMMAND="docker-compose run --rm weights"', (ROOT / file).read_text())


def test_no_message_spells_the_command_itself() -> None:
    """Docstrings, help and comments may; what a person is told to run comes from `commands`."""
    spelled = re.compile(r"run: merrflow models|merrflow models (pull|add|verify)")
    named = r'"""|^\s*#|`merrflow models|\[bold\]Example'
    for folder in ("services", "orchestrator"):
        for path in (ROOT / folder).rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                assert not spelled.search(line) or re.search(named, line), f"{path}:{number}: {line.strip()}"
