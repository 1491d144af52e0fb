"""The command, its table and its JSON."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merrflow.cli.terminal import output_console
from merrflow.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from merrflow.cli.doctor.finding import Finding, Situation

UNFINISHED = 1  # exit code if something is missing
COLOURS = {"ok": "green", "note": "yellow", "missing": "red"}


def doctor(
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The output folder of a run, to see whether it can be written to."),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SERVICE=ENGINE",
            help="An engine to check for, such as llama3=transformers; may be repeated (default: those at "
            "MERRFLOW_<SERVICE>_ADDRESS or of MERRFLOW_<SERVICE>_ENGINE).",
        ),
    ] = None,
    containers: Annotated[
        bool,
        typer.Option(
            "--containers",
            help="The services are to run in containers of this machine: Docker, its GPU runtime and the ports are "
            "needed, torch and weights outside of the containers are not.",
        ),
    ] = False,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="A YAML file with addresses.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Longest wait for an answer of a hub.")] = 3.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Check whether this machine has what the chosen engines need, and say what to do.

    Driver, CUDA, cards and their memory, Docker, ports, disks, weights, licences, hubs, the output folder,
    versions. Starts and changes nothing. Exit code 1 if something is missing; notes do not count.

    [bold]Example:[/bold] merrflow doctor --engine llama3=transformers --out out/
    """
    from merrflow.cli.doctor.groups import examine

    found = examine(asyncio.run(_situation(out, _given(engine or ()), config, seconds, containers=containers)))
    console = output_console()
    if as_json:
        console.print_json(json.dumps([{"group": group, **asdict(finding)} for group, finding in found]))
    else:
        show(found, console)
    raise typer.Exit(UNFINISHED if any(finding.state == "missing" for _, finding in found) else 0)


def show(found: Sequence[tuple[str, Finding]], console: Console) -> None:
    """One table, and under it what to do: commands are too long for a column, and are to be copied whole."""
    from rich.table import Table
    from rich.text import Text

    table = Table("", "check", "state", "found")
    last = ""
    for group, one in found:
        if last not in ("", group):
            table.add_section()
        state = Text(one.state, style=COLOURS[one.state])
        table.add_row(group if group != last else "", Text(one.check), state, Text(one.found, overflow="fold"))
        last = group
    console.print(table)
    for _, one in found:
        if one.todo:
            words = Text.assemble((one.check, COLOURS[one.state]), f": {one.todo}")
            console.print(words, soft_wrap=True)
    missing = sum(one.state == "missing" for _, one in found)
    console.print(f"{missing} missing" if missing else "nothing is missing for the chosen engines")


def _given(words: Sequence[str]) -> dict[str, str]:
    found = {}
    for word in words:
        service, equals, name = word.partition("=")
        if not equals or not name:
            raise InputError(f"--engine: {word!r} is not SERVICE=ENGINE, such as llama3=transformers")
        found[service] = name
    return found


async def _situation(
    out: Path | None, given: dict[str, str], config: Path | None, seconds: float, *, containers: bool
) -> Situation:
    from merrflow.cli.doctor.docker import inside_container
    from merrflow.cli.doctor.engines import choose
    from merrflow.cli.doctor.finding import Situation
    from merrflow.cli.nvidia import read_driver
    from merrflow.core.settings_file import load_settings

    settings = load_settings(config)
    return Situation(
        engines=await choose(given, settings),
        settings=settings,
        driver=read_driver(),
        out=out,
        containers=containers,
        inside=inside_container(),
        seconds=seconds,
    )
