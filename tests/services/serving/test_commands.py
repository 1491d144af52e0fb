"""Commands in messages, in and out of containers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from merrflow_serving import __main__ as command
from merrflow_serving import commands
from merrflow_serving.errors import MerrflowError

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


def test_a_service_that_is_missing_is_on_no_package_index(monkeypatch) -> None:
    monkeypatch.setattr(command, "points_of", lambda group: [])
    hint = re.escape("install the wheel of merrflow-openface-au (docs/installing.md)")
    with pytest.raises(MerrflowError, match=f"^the service 'openface-au' is not installed here; {hint}$"):
        command.load_spec("openface-au")


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


def test_a_folder_of_weights_that_belongs_to_another(monkeypatch, tmp_path: Path) -> None:
    owner = tmp_path.stat()
    assert commands.other_owner(tmp_path, 12345) == f"run as root: chown -R 12345 {tmp_path}"
    assert commands.other_folder() == "set MERRFLOW_MODELS_DIR to another folder"
    monkeypatch.setenv("MERRFLOW_MODELS_COMMAND", "docker-compose run --rm weights")
    assert f"OUT_USER={owner.st_uid}:{owner.st_gid}" in commands.other_owner(tmp_path, 12345)
    assert commands.other_owner(tmp_path, 12345).startswith("run as root: chown -R 12345 MODELS, or ")
    assert commands.other_folder("a larger disk") == "set MODELS to a larger disk"
    monkeypatch.setenv("MERRFLOW_MODELS_COMMAND", "kubectl -n merrflow exec deploy/weights -- merrflow models")
    assert commands.other_owner(tmp_path, 10001) == "make the claim `models` writable for user 10001"


def test_files_that_may_not_be_read(monkeypatch) -> None:
    folder = Path("/models/llama-3-8b-instruct")
    assert commands.readable(Path("/a b/llama")) == "run as root: chmod -R a+rX '/a b/llama'"
    monkeypatch.setenv("MERRFLOW_MODELS_COMMAND", "docker-compose run --rm weights")
    assert commands.readable(folder) == "run as root: chmod -R a+rX MODELS/llama-3-8b-instruct"
    monkeypatch.setenv("MERRFLOW_MODELS_COMMAND", "kubectl -n merrflow exec deploy/weights -- merrflow models")
    assert "MODELS" not in commands.readable(folder) and "claim `models`" in commands.readable(folder)
