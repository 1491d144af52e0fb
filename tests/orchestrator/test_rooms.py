"""The rooms of the orchestrator: imports point downwards only, and no files import each other in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGES = {
    "merrflow": ROOT / "orchestrator" / "merrflow",
    **{path.name: path for path in sorted((ROOT / "services").glob("*/merrflow_*"))},
}
# From the ground up. A room imports those before it.
ROOMS = ("core", "facs", "formats", "store", "stages", "clients", "datasets", "pipeline", "flow", "cli")


def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name."""
    root = PACKAGES[package]
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = (package, *path.relative_to(root).with_suffix("").parts)
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The modules of the same package that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            target = name if name in known else name.rpartition(".")[0]
            if target in known:
                yield target


def room_of(module: str) -> str:
    """Empty for what begins in no room: the package itself, and `python -m merrflow`."""
    room = module.partition(".")[2].partition(".")[0]
    return "" if room == "__main__" else room


def test_every_folder_of_the_orchestrator_is_a_room():
    root = PACKAGES["merrflow"]
    assert sorted(path.name for path in root.iterdir() if path.is_dir() and path.name != "__pycache__") == sorted(ROOMS)
    assert sorted(path.name for path in root.glob("*.py")) == ["__init__.py", "__main__.py"]


def test_imports_point_downwards():
    known = modules("merrflow")
    upwards = [
        f"{module} imports {target}"
        for module, path in known.items()
        if room_of(module)
        for target in imports(path, known)
        if room_of(target) and ROOMS.index(room_of(target)) > ROOMS.index(room_of(module))
    ]
    assert not upwards


@pytest.mark.parametrize("package", PACKAGES)
def test_no_modules_import_each_other_in_a_circle(package):
    known = modules(package)
    graph = {module: {target for target in imports(path, known) if target != module} for module, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


# Objects of libraries, which have no other way (protobuf messages, options of libav, onnxruntime and torch, csv
# readers, rich tables), and a method's copy of its own object.
FOREIGN = (
    "container",
    "copy",
    "decoder",
    "environment",
    "fault.__cause__",
    "getattr(request",
    "last.daemon",
    "options",
    "parameters",
    "picture",
    "reader",
    "request",
    "self._manager.logit_processor",
    "graph",
    "shown",
    "stream",
    "tower",
    "track",
    "video",
)


def attributes_set_from_outside(path: Path) -> Iterator[str]:
    """Assignments to an attribute of anything but the object whose method it is."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in (one for outer in targets if outer for one in ast.walk(outer)):
            if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store):
                text = ast.unparse(target)
                if ast.unparse(target.value) not in ("self", "cls") and not text.startswith(FOREIGN):
                    yield f"{path.name}, line {target.lineno}: {text}"


EMPTY = ("{}", "[]", "set()", "dict()", "list()", "Counter()", "deque()")


def changing_state(path: Path) -> Iterator[str]:
    """Module-level names that are rebound, or bound to something empty that can only be meant to fill up."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"{path.name}, line {node.lineno}: global {', '.join(node.names)}"
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and ast.unparse(node.value) in EMPTY:
            yield f"{path.name}, line {node.lineno}: {ast.unparse(node)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_nobody_sets_another_objects_attributes(package):
    assert not [found for path in modules(package).values() for found in attributes_set_from_outside(path)]


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_have_no_changing_state(package):
    assert not [found for path in modules(package).values() for found in changing_state(path)]
