"""`merrflow export`: a finished run as a dataset in one of several formats."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from merrflow.cli.terminal import SafeConsole
from merrflow.core.errors import InputError
from merrflow.datasets.export.export import Exported, Format, export


def export_run(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of a run.", show_default=False)],
    format: Annotated[
        Format,
        typer.Option(
            "--format",
            "-f",
            help="merr: JSON, TXT and subtitles as Emotion-LLaMA reads them. merr-strict: the same as published, "
            "errors included. huggingface: Parquet with pictures and a dataset card. sharegpt: conversations for "
            "LLaMA-Factory. csv: a row a clip.",
            show_default=False,
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Where it is written (default: OUT/export/FORMAT).", show_default=False),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the clips that merrflow curate does not keep.")
    ] = False,
    split: Annotated[
        str,
        typer.Option(
            "--split",
            metavar="NAME=SHARE,...",
            help="Parts of a huggingface dataset, such as validation=0.1,test=0.1; the rest is train. Copies of one "
            "file always come into the same part.",
            show_default=False,
        ),
    ] = "",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the split.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a finished run as a dataset. Calls no model.

    Where merrflow curate was run, only the clips that it keeps are written. An earlier export is replaced when the
    new one is complete, and never otherwise; a folder with anything else in it is left alone.

    Check the terms of the clips and of the models before you publish what is written: it holds pictures and words of
    persons.

    [bold]Example:[/bold] merrflow export --out out/ --format huggingface --split test=0.1
    """
    from merrflow.store import existing_ledger

    shares = parse_split(split)
    ledger = existing_ledger(out)
    try:
        done = export(ledger, out, format, to, everything=everything, splits=shares, seed=seed)
    finally:
        ledger.close()
    show(done, as_json)


def parse_split(text: str) -> dict[str, float]:
    """Shares from "validation=0.1,test=0.1". Raises `InputError`."""
    shares: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, share = (piece.strip() for piece in part.partition("="))
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not (name.isascii() and name.isidentifier()) or not 0 < value < 1:
            raise InputError(f"--split {part}: name a part and its share, such as validation=0.1")
        if name in shares or name == "train":
            raise InputError(
                f"--split {part}: {'train is what is left' if name == 'train' else f'{name} stands twice'}"
            )
        shares[name] = value
    if sum(shares.values()) >= 1:
        raise InputError(f"--split {text}: the shares must come to less than 1, for train is what is left")
    return shares


def show(done: Exported, as_json: bool = False, console: Console | None = None) -> None:
    """What was written and what was left out, in words or as JSON."""
    console = console or SafeConsole(highlight=False, width=None if sys.stdout.isatty() else 160)
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
