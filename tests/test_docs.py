"""README.md and docs/ name only what exists: files, commands, options, environment variables, Python names."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from merrflow.cli.app import app
from merrflow.core.settings import RunSettings
from merrflow_serving.__main__ import load_spec
from merrflow_serving.catalog import SERVICES
from merrflow_serving.weights.places import Place
from tests.paths import ROOT

DOCUMENTS = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]  # which names what is gone
# What a path in a document may be relative to, beside the document's own folder.
BASES = ("", "orchestrator", "orchestrator/merrflow", "orchestrator/merrflow/datasets", "services/serving", "tests")
BASES += ("services/llama3/merrflow_llama3", "deploy/kubernetes", "tests/orchestrator")
RECIPES = re.compile("NAME|laughter|pace")  # what CONTRIBUTING.md's examples add
READERS_OWN = (
    "OUT/",
    "DIR/",
    "merr/",
    "peaks/",
    "images/",
    "videos/",
    "audios/",
    ".argilla/",
    "mae_340_UTT/",
    "maeV_399_UTT/",
    "HL-UTT/",
    "my/",
    "svm_combined/",
    "svr_combined/",
)  # of a run or the reader
SUFFIXES = "py|yaml|yml|md|sh|json|toml|proto|j2|js|html|txt"


@cache
def code(document: Path) -> tuple[str, ...]:
    """Lines of the blocks of code, and what is in backticks elsewhere."""
    text = document.read_text(encoding="utf-8")
    blocks = re.compile(r"^```\w*\n(.*?)^```", re.S | re.M)
    lines = "\n".join(blocks.findall(text)).replace("\\\n", " ").splitlines()
    return (*lines, *re.findall(r"`([^`\n]+)`", blocks.sub("", text)))


@cache
def sources() -> str:
    """The project's code and deployment files in one text."""
    folders = ("orchestrator", "services", "protos", "deploy", "tests", "benchmarks", "examples")
    files = [path for name in folders for path in sorted((ROOT / name).rglob("*")) if "node_modules" not in path.parts]
    wanted = {".py", ".yaml", ".yml", ".sh", ".proto"}
    return "\n".join(path.read_text(encoding="utf-8") for path in files if path.suffix in wanted and path.is_file())


@cache
def quoted_names() -> set[str]:
    """Names of merrflow's in the sources that are in quotes, or end a declaration."""
    return set(re.findall(r'(?<=["\s])merrflow[\w.]*(?=[";])', sources()))


@cache
def merrflow_command() -> Any:
    return typer.main.get_command(app)


def found(pattern: str) -> list[Any]:
    """(document, match) of a pattern in the code of all documents, as parameters of a test."""
    pairs = {(path.name, one) for path in DOCUMENTS for line in code(path) for one in re.findall(pattern, line)}
    return [pytest.param(one, id=f"{name}: {one}") for name, one in sorted(pairs)]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s:]*)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        assert (document.parent / link).exists(), link


@pytest.mark.parametrize("path", found(rf"^(?:[\w.@-]+/)+(?:[\w.@-]+\.(?:{SUFFIXES}))?$"))
def test_paths(path: str) -> None:
    assert path.startswith(READERS_OWN) or RECIPES.search(path) or any((ROOT / base / path).exists() for base in BASES)


def options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}


@pytest.mark.parametrize("line", found(r"(?:^|.*[\s/=])merrflow [a-z].*$"))
def test_commands(line: str) -> None:
    if "kubectl -n merrflow" in line:  # the namespace
        return
    for part in re.findall(r"(?:^|[\s/])merrflow ([a-z][^|&;]*)", line):
        words = shlex.split(part, comments=True)
        command = merrflow_command()
        while hasattr(command, "commands") and words:
            assert words[0] in command.commands, words[0]
            command = command.commands[words.pop(0)]
        assert {word.partition("=")[0] for word in words if re.match("--?[a-z]", word)} <= options(command)


@pytest.mark.parametrize("option", found(r"^(--[a-z-]+)"))
def test_options_without_a_command(option: str) -> None:
    known = {name for command in merrflow_command().commands.values() for name in options(command)}
    assert option in known or f'"{option}"' in sources()


@cache
def variables() -> set[str]:
    """All that the settings of a run, of weights and of the services read."""
    names = {f"MERRFLOW_{field.upper()}" for field in (*RunSettings.model_fields, *Place.__dataclass_fields__)}
    for name, service in SERVICES.items():
        fields = {*load_spec(name).settings.model_fields, "address"}
        names |= {prefix + field.upper() for field in fields for prefix in (service.env_prefix, "MERRFLOW_<SERVICE>_")}
    return names


@pytest.mark.parametrize("variable", found(r"MERRFLOW_[A-Z0-9_<>]*[A-Z0-9>]"))
def test_environment_variables(variable: str) -> None:
    general = variable in ("MERRFLOW_<SETTING>", "MERRFLOW_<SERVICE>_<SETTING>")
    elsewhere = variable.startswith(("MERRFLOW_TEST_", "MERRFLOW_JOB_")) and variable in sources()
    assert general or elsewhere or variable in variables()


@pytest.mark.slow
def test_types_of_the_python_examples() -> None:
    """As for readers who check their own code. The cache of mypy stays for the next run."""
    folder = ROOT / "build" / "examples-in-docs"
    for name in ("types", "examples"):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir(parents=True)
    (folder / "types" / "merrflow").mkdir()
    for package in (ROOT / "orchestrator/merrflow", ROOT / "protos/python/merrflow"):  # one package, as in `make types`
        for path in package.iterdir():
            (folder / "types" / "merrflow" / path.name).symlink_to(path)
    for document in DOCUMENTS:
        for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", document.read_text(), re.S | re.M)):
            if re.search("^(import|from) merrflow", block, re.M):
                (folder / "examples" / f"{document.stem.replace('-', '_')}_{number}.py").write_text(block)
    examples = sorted(map(str, (folder / "examples").iterdir()))
    assert len(examples) >= 5
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), *examples],
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": str(folder / "types")},
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("name", found(r"(?<![\w/.-])merrflow(?:_\w+)?(?:\.\w+)+"))
def test_python_and_grpc_names(name: str) -> None:
    module, _, last = name.rpartition(".")
    if name in quoted_names():  # an entry point group, a proto package, a file
        return
    if module.endswith(".v1"):
        text = (ROOT / "protos" / module.replace(".", "/") / f"{module.split('.')[1]}.proto").read_text()
        assert re.search(rf"^(service|message|enum) {last} ", text, re.M)
    else:
        assert hasattr(import_module(module), last)
