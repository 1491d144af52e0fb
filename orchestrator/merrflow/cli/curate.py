"""`merrflow curate`: which clips of a run are good enough to train on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from merrflow.cli.listing import ListingCommand
from merrflow.cli.terminal import json_text, output_console

if TYPE_CHECKING:
    from merrflow.datasets.curation.base import Step
    from merrflow.datasets.curation.curate import Curated

EXAMPLES = 2  # reasons shown for each filter
REASON_LENGTH = 160  # characters


class CurateCommand(ListingCommand):
    """Its help lists the filters."""

    columns = ("filter, in the default order", "reason to drop a clip")

    def listing(self) -> Iterable[tuple[str, str]]:
        from merrflow.datasets.plugin_list import filters

        return filters()


def curate(
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder of a finished run.", show_default=False)
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="A YAML file with filters and thresholds; see --print-config."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what each filter would drop, alone and in sequence. Write nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the default configuration with its comments, and exit.")
    ] = False,
) -> None:
    """Drop contradictory, duplicate, overabundant and poor clips of a finished run.

    Calls no model. Writes OUT/curation.json: the clips that are kept, and for
    each dropped clip the filter and the reason. `merrflow export` then writes
    only the kept clips. The records are not changed, so you can run it again
    with another configuration at any time.

    [bold]Example:[/bold] merrflow curate --out out/ --dry-run
    """
    from merrflow.core.errors import InputError
    from merrflow.datasets.curation.config import config_text, load_config
    from merrflow.datasets.curation.curate import curate as work

    if print_config:
        print(config_text(), end="")
        return
    if out is None:
        raise InputError("give the folder of a finished run with --out")
    found = work(out, load_config(config), dry_run=dry_run)
    if as_json:
        print(json_text(as_values(out, found, dry_run)))
    else:
        show(out, found, dry_run, output_console())


def as_values(out: Path, found: Curated, dry_run: bool) -> dict[str, Any]:
    """What was found as JSON; the dropped clips themselves only for a dry run, else they are in the file."""
    from merrflow.datasets.curation.result import FILE, counts

    values: dict[str, Any] = {
        "out": str(out.absolute()),
        "written": None if dry_run else str((out / FILE).absolute()),
        "clips": sum(found.labels.values()),
        "kept": len(found.kept),
        "labels": dict(found.labels),
        "kept_labels": dict(found.kept_labels),
        "in_sequence": [counts(step) for step in found.steps],
    }
    if dry_run:
        values["alone"] = [counts(step) for step in found.alone]
        values["dropped"] = [drop.values() for step in found.steps for drop in step.drops]
    return values


def show(out: Path, found: Curated, dry_run: bool, console: Console) -> None:
    """The same as tables, with some reasons."""
    total = sum(found.labels.values())
    console.print(f"{escape(str(out))}: {len(found.kept)} of {total} clips with a record are kept")
    alone = {step.filter: step for step in found.alone}
    extra = ["dropped alone"] if alone else []
    table = Table("filter", "in", "dropped", "left", "not judged", *extra, "dropped by label")
    for step in found.steps:
        labels = "  ".join(f"{escape(label)} {count}" for label, count in step.labels.items())
        more = [str(alone[step.filter].dropped)] if alone else []
        table.add_row(step.filter, str(step.seen), str(step.dropped), str(step.left), str(step.unjudged), *more, labels)
    console.print(table)
    table = Table("label", "clips", "kept")
    for label, count in found.labels.items():
        table.add_row(escape(label), str(count), str(found.kept_labels.get(label, 0)))
    console.print(table)
    for step in found.steps:
        for line in _examples(step):
            console.print(line, markup=False)
    if found.unknown_labels:
        names = ", ".join(found.unknown_labels)
        console.print(f"no valence is set for {names}: these labels never count as opposite", markup=False)
    console.print("nothing was written (dry run)" if dry_run else f"written: {out / 'curation.json'}", markup=False)


def _examples(step: Step) -> list[str]:
    lines = []
    for drop in step.drops[:EXAMPLES]:
        reason = " ".join(drop.reason.split())
        reason = reason if len(reason) <= REASON_LENGTH else reason[: REASON_LENGTH - 1] + "…"
        lines.append(f"{step.filter}: {drop.name}: {reason}")
    return lines
