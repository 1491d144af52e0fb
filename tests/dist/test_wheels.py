"""`make dist`: the wheels hold what the sources do, and annotate a clip if nothing of the repository is importable."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.paths import ROOT

# Distribution -> where the sources of its package are.
SOURCES = {
    "merrflow": ROOT / "orchestrator" / "merrflow",
    "merrflow_protos": ROOT / "protos" / "python" / "merrflow",
    **{path.name: path for path in sorted((ROOT / "services").glob("*/merrflow_*"))},
}
WHERE = """
import importlib, json, sys
names = ["merrflow.cli", "merrflow.llama3.v1.llama3_pb2", *(name for name in sys.argv[1:] if name != "merrflow_protos")]
print(json.dumps({"path": sys.path, "files": [importlib.import_module(name).__file__ for name in names]}))
"""

pytestmark = pytest.mark.slow


def run(*command: object, cwd: Path) -> str:
    """What it prints; it must succeed. Without Python's variables, with which the repository could be found."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MERRFLOW"))}
    ended = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=600
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Distribution -> its wheel."""
    folder = tmp_path_factory.mktemp("dist")
    # -o: this environment is installed, whatever its time stamp says.
    run("make", "-s", "-o", f"{sys.prefix}/.installed", f"VENV={sys.prefix}", f"DIST={folder}", "dist", cwd=ROOT)
    assert {path.name for path in folder.iterdir() if path.suffix != ".whl"} == {"constraints.txt", "models.txt"}
    return {path.name.split("-")[0]: path for path in folder.glob("*.whl")}


@pytest.fixture(scope="module")
def python(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheels, and with this one's dependencies, but not its links to the repository."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    offline = ["--quiet", "--no-index", "--no-deps", "--disable-pip-version-check"]
    run(sys.executable, "-m", "pip", "--python", python, "install", *offline, *wheels.values(), cwd=folder)
    (site,) = folder.glob("lib/python*/site-packages")
    # A folder that a .pth file names is searched for modules, but its own .pth files, the links, are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_there_is_a_wheel_of_each_distribution(wheels: dict[str, Path]) -> None:
    assert set(wheels) == set(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_a_wheel_has_all_files_of_its_package_and_no_others(wheels: dict[str, Path], name: str) -> None:
    package = SOURCES[name]
    files = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {path.relative_to(package.parent).as_posix() for path in files}
    packed = set(ZipFile(wheels[name]).namelist())
    metadata = {path for path in packed if path.split("/")[0].endswith(".dist-info")}
    assert packed - metadata == expected
    assert not [path for path in expected if "test" in path]
    assert any(path.endswith("/py.typed") for path in expected)
    assert any(path.endswith("/licenses/LICENSE") for path in metadata)


def test_the_installed_wheels_are_independent_of_the_repository(python: Path, tmp_path: Path) -> None:
    found = json.loads(run(python, "-c", WHERE, *SOURCES, cwd=tmp_path))
    installed = python.parents[1]
    assert all(Path(file).is_relative_to(installed) for file in found["files"])
    dependencies = Path(sysconfig.get_path("purelib"))
    others = [Path(path) for path in found["path"] if not Path(path).is_relative_to(dependencies)]
    assert not [path for path in others if path.is_relative_to(ROOT)]


@pytest.fixture(scope="module")
def dataset(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What `merrflow run` makes of two of the example clips, in another folder than the repository's."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "clips").mkdir()
    for name in ("good_news.mp4", "good_news.srt", "quiet_goodbye.mp4"):
        shutil.copy(ROOT / "examples" / "clips" / name, folder / "clips")
    run(python.with_name("merrflow"), "run", "clips", "--out", "out", "--neutral-sample", 1, cwd=folder)
    yield folder / "out"


def test_the_command_annotates_clips(dataset: Path) -> None:
    lines = (dataset / "records.jsonl").read_text().splitlines()
    records = {record["name"]: record for record in map(json.loads, lines)}
    assert set(records) == {"good_news", "quiet_goodbye"}
    assert all(record["reasoning"]["text"] for record in records.values())


def test_the_commands_that_read_data_files_find_them(dataset: Path, python: Path) -> None:
    """Templates, style sheets and YAML files are read by: the report (in `run`), curate, export, mine, rules."""
    assert "<style>" in (dataset / "report.html").read_text()
    command = python.with_name("merrflow")
    for arguments in (
        ["curate"],
        ["export", "--format", "sharegpt", "--to", "sharegpt"],
        ["export", "--format", "huggingface", "--to", "huggingface"],
        ["mine", "disgust", "--html", "list.html"],
    ):
        run(command, *arguments, "--out", dataset, cwd=dataset.parent)
    assert (dataset.parent / "list.html").is_file()
