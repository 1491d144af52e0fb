"""What `import merrflow` offers: all of it, lazily, and with the types that a type checker sees."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import merrflow


@pytest.mark.parametrize("name", merrflow.__all__)
def test_every_public_name_is_there(name):
    assert getattr(merrflow, name) is not None
    assert name in dir(merrflow)


def test_another_name_is_not():
    with pytest.raises(AttributeError, match="module 'merrflow' has no attribute 'anotate'"):
        merrflow.anotate  # noqa: B018


def test_a_type_checker_sees_the_same_names_from_the_same_modules():
    tree = ast.parse(Path(merrflow.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {node.module: tuple(alias.name for alias in node.names) for node in block.body}
    assert seen == merrflow._MODULES
    assert sorted(name for names in seen.values() for name in names) == sorted({*merrflow.__all__} - {"__version__"})


@pytest.mark.parametrize(
    "code", ["import merrflow", "from merrflow.qwen_audio.v1 import qwen_audio_pb2_grpc", "import merrflow.common.v1"]
)
def test_an_import_of_a_stub_loads_no_orchestrator(code):
    heavy = ("merrflow.core.records", "merrflow.flow", "pydantic", "prefect", "sqlalchemy", "merrflow.clients")
    ended = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint([name for name in {heavy} if name in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.strip() == "[]"


def test_a_client_needs_neither_prefect_nor_a_database():
    code = "import merrflow, sys; merrflow.Client; print([n for n in ('prefect', 'sqlalchemy') if n in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
