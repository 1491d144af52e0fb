"""`merrflow mine`: a review queue of the clips nearest to a rare label."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from merrflow.cli.terminal import output_console

if TYPE_CHECKING:
    from merrflow.datasets.mining import Mined
    from merrflow.store import Ledger


def mine_run(
    label: Annotated[str, typer.Argument(help="A label of the rule set, such as disgust.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of a run.", show_default=False)],
    top: Annotated[int, typer.Option("--top", "-n", help="How many clips to list.")] = 50,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", help="Also write the list as a CSV, to work through in a spreadsheet."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Also write a page that shows each clip's frame with the face marked."),
    ] = None,
    rules: Annotated[
        str | None,
        typer.Option(help="Rule set that defines the label: a name or a YAML file (default: that of the run)."),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Leave out clips that already have the label.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the clips of a finished run nearest to a rare label, for people to review.

    Calls no model. Looks at every frame of each clip's subject, also in clips
    skipped as neutral, and says which of the label's Action Units are present
    and which are missing. The reasoning model, the subtitle and the tone count a
    little. MERR's authors found 2 clips of disgust among 70,000: expect to look
    at many clips and to find few.

    [bold]Example:[/bold] merrflow mine disgust --out out/ --top 100 --csv disgust.csv --html disgust.html
    """
    from merrflow.core.datafile import DataFileError
    from merrflow.core.errors import InputError
    from merrflow.datasets.mining import mine
    from merrflow.facs import load_rules
    from merrflow.store import existing_ledger

    console = output_console()
    ledger = existing_ledger(out)
    try:
        chosen = load_rules(rules or rules_of(ledger))
        found = mine(ledger, label, chosen, top, others=new)
    except DataFileError as error:
        raise InputError(str(error)) from error
    finally:
        ledger.close()
    write_files(found, csv, html)
    show(found, console, as_json)


def rules_of(ledger: Ledger) -> str:
    """The packaged rule set that labelled the run's first record; "default" if no clip has one.

    Raises `InputError` if it was the user's own file: another set would give another list.
    """
    from merrflow.core.errors import InputError
    from merrflow.datasets.entries import entries
    from merrflow.facs import packaged_rules

    first = next(entries(ledger), None)
    if first is None:
        return "default"
    title = first.record.label.rules
    name = title.rpartition(" ")[0]
    if name not in packaged_rules():
        raise InputError(
            f"the run was labelled by the rule set {title!r}: give its file, or another rule set, with --rules"
        )
    return name


def write_files(found: Mined, csv: Path | None, html: Path | None) -> None:
    """Writes what was asked for. Raises `InputError` or `OutputsGone` if that fails."""
    from merrflow.core.errors import unwritable
    from merrflow.datasets.mining.review_queue import write_csv
    from merrflow.datasets.mining.sheet import write_sheet

    for path, write in ((csv, write_csv), (html, write_sheet)):
        if path is not None:
            try:
                write(found, path)
            except OSError as error:
                raise unwritable(path, error) from error


def show(found: Mined, console: Console, as_json: bool = False) -> None:
    """The list as a table, after what cannot be measured; or all of it as JSON."""
    from merrflow.datasets.mining.review_queue import shown_label, values

    if as_json:
        console.print_json(json.dumps(values(found)))
        return
    for limit in found.limits:
        console.print(f"{limit}", style="yellow", markup=False, soft_wrap=True)
    table = Table("rank", "name", "score", "frame", "second", "label", "why")
    for one in found.candidates:
        cells = (one.name, f"{one.score:.2f}", str(one.frame), f"{one.seconds:.2f}", shown_label(one))
        table.add_row(str(one.rank), *map(_plain, cells), _plain("; ".join(one.reasons)))
    if found.candidates:
        console.print(table)
    summary = f"{len(found.candidates)} of {found.clips} clips come near {found.label} by the rule set {found.rules}"
    if found.without_face:
        summary += f"; {found.without_face} have no Action Units"
    console.print(summary, markup=False, soft_wrap=True)


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape("".join(character if character.isprintable() else " " for character in text))
