"""A stage whose code changes gets another version, or someone decides that its results stay the same.

`versions.json` remembers each stage's version and a digest of the code behind it. If the code changed, raise the
stage's version if clips that were done before would come out differently now, and in either case run
`python -m tests.orchestrator.stages.test_versions`.
"""

from __future__ import annotations

import ast
import hashlib
import io
import json
import sys
import tokenize
from pathlib import Path

from merrflow.stages.graph import graph_for
from tests.orchestrator.test_rooms import imports, modules, room_of

FILE = Path(__file__).with_name("versions.json")
COMPUTING = ("facs", "formats", "stages")  # rooms whose code decides what comes out
WIRING = {"merrflow.stages.graph", "merrflow.stages.stage", "merrflow.stages.record"}


def code(path: Path) -> str:
    """A file's lines without comments, docstrings and blank lines; the same by every version of Python."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]]
    for node in ast.walk(ast.parse(text)):
        for first in getattr(node, "body", [])[:1] if not isinstance(node, ast.Lambda | ast.IfExp) else []:
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and first.end_lineno:
                lines[first.lineno - 1 : first.end_lineno] = [""] * (first.end_lineno - first.lineno + 1)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def digest(module: str, known: dict[str, Path]) -> str:
    """Of a module and all that it imports of the rooms that compute."""
    waiting, seen = [module], {module}
    while waiting:
        for target in imports(known[waiting.pop()], known):
            if target not in seen | WIRING and room_of(target) in COMPUTING:
                seen.add(target)
                waiting.append(target)
    text = "".join(code(known[name]) for name in sorted(seen))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def present() -> dict[str, list[str]]:
    known = modules("merrflow")
    graph = graph_for(speech=True, translate=True)  # with all stages that a run may have
    return {stage.name: [stage.version, digest(stage.compute.__module__, known)] for stage in graph}


def test_no_stage_changed_without_a_decision_on_its_version():
    remembered, now = json.loads(FILE.read_text()), present()
    changed = [name for name in now if remembered.get(name) != now[name]]
    assert not changed, f"{', '.join(changed)}: see the first lines of {Path(__file__).name}"
    assert remembered.keys() == now.keys()


def test_a_changed_line_is_noticed_and_a_comment_is_not(tmp_path):
    known = modules("merrflow")
    before = digest("merrflow.stages.peak", known)
    source = known["merrflow.stages.peak"].read_text()
    for text, same in ((f"# a comment\n{source}", True), (source.replace("-place", "place"), False)):
        (tmp_path / "peak.py").write_text(text)
        assert (
            digest("merrflow.stages.peak", known | {"merrflow.stages.peak": tmp_path / "peak.py"}) == before
        ) is same


if __name__ == "__main__":
    FILE.write_text(json.dumps(present(), indent=1) + "\n")
    sys.exit(print(f"{FILE.name} is written"))
