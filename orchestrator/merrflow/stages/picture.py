"""The graph of stages as a picture and a table, for docs/architecture.md.

`python -m merrflow.stages.picture FILE` writes them into FILE between their two marks. With `--check` it writes nothing
and fails if FILE is stale.
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
    """A flowchart in Mermaid's language: boxes with two borders call a service.

    Stages that do the same for several views share a box. Lazy stages are left out: the table lists them.
    """
    shown = [stage for stage in graph if not stage.lazy]
    boxes: dict[object, list[Stage[Any]]] = {}
    for stage in shown:
        boxes.setdefault(_kind(stage), []).append(stage)
    box_of = {stage.name: box[0].name for box in boxes.values() for stage in box}
    lines = ["flowchart TB"]
    for box in boxes.values():
        name, service = box[0].name, box[0].service
        text = "<br/>".join(stage.name for stage in box)
        lines.append(f'  {name}[["{text}<br/><i>{service}</i>"]]' if service else f'  {name}["{text}"]')
    arrows = [(box_of[name], box_of[stage.name]) for stage in shown for name in _direct(graph, stage)]
    leaves = [stage.name for stage in shown if not graph.depend_on(stage.name)]
    lines += [f"  {start} --> {end}" for start, end in dict.fromkeys(arrows)]
    return "\n".join([*lines, "  record([record])", f"  {' & '.join(leaves)} --> record"])


def _kind(stage: Stage[Any]) -> object:
    """Equal for stages that share a box: calls of one service by one module for the same needs."""
    return (_module(stage.compute), stage.service, stage.needs, stage.after) if stage.service else stage.name


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
        more = [what for what, is_so in (("engine", stage.service), ("YAML file", stage.data_version)) if is_so]
        needs = ", ".join((*(f"`{name}`" for name in (*stage.needs, *stage.settings)), *more)) or "the file"
        service = stage.service or ("when used" if stage.lazy else "this process")
        kept = "ledger" if stage.is_cached else "-"
        rows.append(f"| `{stage.name}` | `{module}` | {stage.purpose} | {service} | {kept} | {needs} |")
    return "\n".join(rows)


def _module(function: object) -> str:
    return f"stages/{getattr(function, '__module__', '').rsplit('.', 1)[-1]}.py"


def section(graph: Graph = GRAPH) -> str:
    """The marks and what is between them."""
    return f"{BEGIN}\n\n```mermaid\n{mermaid(graph)}\n```\n\n{table(graph)}\n\n{END}"


def renewed(text: str) -> str:
    """The text with the current graph between its marks. Raises ValueError if it has no marks."""
    before, _, rest = text.partition(BEGIN)
    _, mark, behind = rest.partition(END)
    if not mark:
        raise ValueError(f"the text has no {BEGIN} ... {END}")
    return before + section() + behind


def main() -> int:
    """Returns the exit code: 1 if `--check` finds the file stale."""
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
