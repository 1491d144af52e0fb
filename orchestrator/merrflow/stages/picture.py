"""The graph of stages as a picture and a table, for docs/architecture.md.

`python -m merrflow.stages.picture FILE` writes them into FILE between their two marks; with `--check` it only says
whether FILE has them as they are now.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from merrflow.stages.graph import GRAPH, Graph
from merrflow.stages.stage import Stage

BEGIN, END = "<!-- stages: begin (make generated) -->", "<!-- stages: end -->"


def mermaid(graph: Graph) -> str:
    """A flowchart in Mermaid's language: boxes with two borders are services, dashed arrows are used if needed."""
    lines = ["flowchart LR"]
    for stage in graph:
        text = f"{stage.name}<br/><i>{stage.service}</i>" if stage.service else stage.name
        lines.append(f'  {stage.name}[["{text}"]]' if stage.service else f'  {stage.name}["{text}"]')
    for stage in graph:
        lines += [f"  {name} --> {stage.name}" for name in _direct(graph, stage)]
        lines += [f"  {name} -.-> {stage.name}" for name in stage.uses]
    leaves = [stage.name for stage in graph if not graph.depend_on(stage.name)]
    return "\n".join([*lines, "  record([record])", f"  {' & '.join(leaves)} --> record"])


def _direct(graph: Graph, stage: Stage[Any]) -> list[str]:
    """What the stage waits for, less what that waits for itself."""
    waits = (*stage.needs, *stage.after)
    return [name for name in waits if not any(other in graph.depend_on(name) for other in waits)]


def table(graph: Graph) -> str:
    """A row for each stage, in the order of the work."""
    rows = [
        "| stage | file | what it finds | computed by | kept | a change of these redoes it |",
        "|---|---|---|---|---|---|",
    ]
    for stage in graph:
        module = _module(stage.compute)
        needs = ", ".join(f"`{name}`" for name in (*stage.needs, *stage.settings)) or "the file"
        data = " and its YAML file" if stage.data_version else ""
        service = stage.service or ("when used" if stage.lazy else "this process")
        kept = "ledger" if stage.is_cached else "-"
        rows.append(f"| `{stage.name}` | `{module}` | {stage.purpose} | {service} | {kept} | {needs}{data} |")
    return "\n".join(rows)


def _module(function: object) -> str:
    return f"stages/{getattr(function, '__module__', '').rsplit('.', 1)[-1]}.py"


def section(graph: Graph = GRAPH) -> str:
    """What is written between the marks."""
    return f"{BEGIN}\n\n```mermaid\n{mermaid(graph)}\n```\n\n{table(graph)}\n\n{END}"


def renewed(text: str) -> str:
    """The text with the present graph between its marks. Raises ValueError if it has none."""
    before, _, rest = text.partition(BEGIN)
    _, mark, behind = rest.partition(END)
    if not mark:
        raise ValueError(f"there is no {BEGIN} with its {END}")
    return before + section() + behind


def main() -> int:
    """Exit code 1 if `--check` finds another graph in the file."""
    parser = argparse.ArgumentParser(prog="python -m merrflow.stages.picture", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if the file is stale")
    options = parser.parse_args()
    text = options.file.read_text(encoding="utf-8")
    new = renewed(text)
    if new != text and options.check:
        print(f"{options.file}: the graph of stages has changed; run `make generated`", file=sys.stderr)
        return 1
    if new != text:
        options.file.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
