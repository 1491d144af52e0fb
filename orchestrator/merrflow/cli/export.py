"""`merrflow export`: a finished run as a dataset in one of several formats."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from merrflow.cli.listing import ListingCommand
from merrflow.cli.terminal import output_console
from merrflow.core.errors import InputError

if TYPE_CHECKING:
    from merrflow.datasets.export.export import Exported


class ExportCommand(ListingCommand):
    """Its help lists the formats."""

    columns = ("format", "writes")

    def listing(self) -> Iterable[tuple[str, str]]:
        from merrflow.datasets.plugin_list import formats

        return formats()


def export_run(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of a run.", show_default=False)],
    format: Annotated[
        str,
        typer.Option("--format", "-f", metavar="NAME", help="One of the formats listed below.", show_default=False),
    ],
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The folder to write (default: OUT/export/FORMAT).", show_default=False),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also export the clips that merrflow curate dropped.")
    ] = False,
    split: Annotated[
        str,
        typer.Option(
            "--split",
            metavar="NAME=SHARE,...",
            help="Parts of a huggingface or webdataset dataset, such as validation=0.1,test=0.1; the rest is train. "
            "Copies of a file are always in the same part.",
            show_default=False,
        ),
    ] = "",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split.")] = 0,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            metavar="NAME=VALUE",
            help="An option of the format; repeatable.",
            show_default=False,
        ),
    ] = None,
    features: Annotated[
        bool,
        typer.Option(
            "--features",
            help="With merr: also compute the features that Emotion-LLaMA trains on (needs merrflow\\[features]).",
        ),
    ] = False,
    media_url: Annotated[
        str,
        typer.Option(
            "--media-url",
            metavar="URL",
            help="With labelstudio: the address below which its player finds the export's files, such as "
            "https://files.example/export/.",
            show_default=False,
        ),
    ] = "",
    push_to: Annotated[
        str,
        typer.Option(
            "--push",
            metavar="OWNER/NAME",
            help="Also upload it to this dataset repository of Hugging Face, private if new.",
            show_default=False,
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a finished run as a dataset. Calls no model, except with --features.

    After merrflow curate, only the clips that it kept are exported. An earlier
    export is replaced once the new one is complete. A folder that holds anything
    else is never touched.

    Before you publish an export, check the terms of the clips and of the models:
    it contains images and words of people.

    [bold]Example:[/bold] merrflow export --out out/ --format huggingface --split test=0.1
    """
    from merrflow.datasets.export.export import export
    from merrflow.datasets.export.hub import check_repository, push
    from merrflow.store import existing_ledger

    more = [*(["features=true"] if features else []), *([f"url={media_url.rstrip('/')}/"] if media_url else [])]
    options = read_options([*(option or ()), *more], split, seed)
    if push_to:
        check_repository(push_to, format)
    ledger = existing_ledger(out)
    try:
        done = export(ledger, out, format, to, everything=everything, options=options)
    finally:
        ledger.close()
    if push_to:
        done = replace(done, remarks=(*done.remarks, f"uploaded: {push(done.folder, push_to)}"))
    show(done, as_json)


def read_options(given: Sequence[str], split: str = "", seed: int = 0) -> Mapping[str, object]:
    """The format's options by name. --split and --seed are for huggingface; --seed is passed only with a split.

    Raises `InputError`.
    """
    options: dict[str, object] = {"split": split} if split.strip(", ") else {}
    for each in given:
        name, equals, value = each.partition("=")
        if not (name and equals):
            raise InputError(f"--option {each}: give an option and its value, such as seed=7")
        if name in options:
            raise InputError(f"--option {each}: {name} is given twice")
        options[name] = value
    if "split" in options:
        options.setdefault("seed", seed)
    return options


def show(done: Exported, as_json: bool = False, console: Console | None = None) -> None:
    """What was written and what was left out, in words or as JSON."""
    console = console or output_console()
    if as_json:
        values = {
            "format": done.format,
            "folder": str(done.folder),
            "records": done.records,
            "left_out": dict(done.left_out),
            "remarks": list(done.remarks),
        }
        console.print_json(json.dumps(values))
        return
    for remark in done.remarks:
        console.print(remark, markup=False, soft_wrap=True)
    text = f"{done.folder}: {done.records} record{'s' if done.records != 1 else ''} as {done.format}"
    if done.left_out:
        text += "; left out: " + ", ".join(f"{count} ({reason})" for reason, count in done.left_out.items())
    console.print(text, markup=False, soft_wrap=True)
