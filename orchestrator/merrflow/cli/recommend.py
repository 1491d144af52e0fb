"""`merrflow models recommend`: engines and models that fit this machine, or another one that is described."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merrflow.cli.terminal import output_console

if TYPE_CHECKING:
    from rich.console import Console


def recommend(
    memory: Annotated[
        str | None, typer.Option(help="Memory of another machine, such as 16GB.", show_default="as this one")
    ] = None,
    gpu: Annotated[
        str | None,
        typer.Option(help="Memory of its largest card, such as 24GB; 0 for none.", show_default="as this one"),
    ] = None,
    disk: Annotated[str | None, typer.Option(help="Its free disk, such as 100GB.", show_default="as this one")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Show engines and models that fit this machine, with their licences and the commands to use them.

    Looks at memory, card and free disk; asks no network.

    [bold]Example:[/bold] merrflow models recommend --memory 16GB --gpu 0
    """
    from merrflow.cli.engine_sets import Machine, chosen, this_machine
    from merrflow.pipeline.gpu_phases import parse_memory

    here = this_machine()
    machine = Machine(
        parse_memory(memory) if memory else here.memory,
        (parse_memory(gpu) if gpu != "0" else 0) if gpu else here.gpu,
        parse_memory(disk) if disk else here.disk,
    )
    found = chosen(machine)
    console = output_console()
    console.print_json(json.dumps(found)) if as_json else _show(found, console)


def _show(found: dict[str, Any], console: Console) -> None:
    from rich.table import Table

    machine = {name: f"{value / 1e9:.1f} GB" for name, value in found["machine"].items()}
    card = machine["gpu"] if found["machine"]["gpu"] else "none"
    console.print(f"memory {machine['memory']}, card {card}, free disk {machine['disk']}")
    console.print(
        f"[bold]{found['set']}[/bold]: {found['purpose']}" + ("" if found["fits"] else " (and even that is tight)")
    )
    table = Table("service", "engine", "model", "licence", "outputs")
    for row in found["services"]:
        table.add_row(row["service"], row["engine"], row["model"], row["licence"], row["outputs"])
    console.print(table)
    for command in found["commands"]:
        console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)
    for one in found["better"]:
        console.print(f"{one['set']} ({one['purpose']}) needs {', '.join(one['needs'])}", markup=False, soft_wrap=True)
    console.print("Models behind an endpoint that you have already: docs/remote-models.md", markup=False)
