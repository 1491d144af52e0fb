"""`merrflow import`: what people said of records in another tool becomes verdicts."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from merrflow.cli.terminal import error_console, json_text, output_console


def import_verdicts(
    tool: Annotated[str, typer.Argument(metavar="labelstudio|argilla", help="The tool.", show_default=False)],
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="labelstudio: its export as JSON, JSON-MIN, CSV or TSV. argilla: the folder of Dataset.to_disk, or "
            "the file of records.to_json.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the run.", show_default=False)],
    reviewer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ID=]NAME",
            help="Who annotator ID is; repeatable. Without ID: every annotator the file does not name.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Take what people said in Label Studio or Argilla as verdicts, as if given in merrflow review.

    For projects made of merrflow export --format labelstudio or argilla. The same
    file again changes nothing; a later answer of the same person counts instead
    of the earlier. What cannot be taken is listed with its place in the file,
    everything else is taken, and the exit code is 1.

    [bold]Example:[/bold] merrflow import labelstudio project-1.json --out out/ --reviewer 1=ann
    """
    from merrflow.datasets.imports.take import take
    from merrflow.store import existing_ledger

    with closing(existing_ledger(out)) as ledger:
        found = take(ledger, out.absolute(), tool, path, tuple(reviewer or ()))
    console = error_console()
    for line in found.skipped:
        console.print(f"skipped: {line}", markup=False, soft_wrap=True)
    for line in found.refused:
        console.print(f"not taken: {line}", style="red", markup=False, soft_wrap=True)
    if as_json:
        print(json_text(asdict(found)))
    else:
        output_console().print(
            f"{found.added} verdict{'' if found.added == 1 else 's'} added, {found.known} known already, "
            f"{len(found.skipped)} skipped, {found.unasked} without an answer, {len(found.refused)} not taken",
            soft_wrap=True,
        )
    if found.refused:
        raise typer.Exit(1)
