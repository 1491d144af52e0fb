"""`merrflow rules fit-witnesses`: fits who is heard on a label, and at what weight, to labels that people gave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merrflow.cli.terminal import output_console
from merrflow.core.errors import InputError

if TYPE_CHECKING:
    from merrflow.stages.witnesses.rules import Held, Witnesses


def fit_witnesses(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of a run.", show_default=False)],
    labels: Annotated[
        Path,
        typer.Option(
            "--labels", "-l", help="What people say: a CSV with name and label, or MERR's.", show_default=False
        ),
    ],
    to: Annotated[Path, typer.Option("--to", help="The YAML file to write.", show_default=False)],
    like: Annotated[str, typer.Option(help="The witnesses of the run: default, or a YAML file.")] = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Fit weights and thresholds of the witnesses to clips that people labelled.

    Compares the labels that a run gave with those of a table that the run did
    not see, and says how often "confirmed" and "contradicted" are right on clips
    that nothing was fitted to (5-fold cross-validation), beside the defaults.

    [bold]Example:[/bold] merrflow rules fit-witnesses --out out/ --labels mine.csv --to witnesses.yaml
    """
    console = output_console()
    found, remarks = fit_to(out, labels, to, like)
    if as_json:
        assert found.fit is not None
        console.print_json(found.fit.model_dump_json())
        return
    for line in (*remarks, *_figures(found)):
        console.print(line, markup=False)
    console.print(f"{to}: written; use it with `merrflow run --witnesses {to}`", markup=False)


def fit_to(out: Path, labels: Path, to: Path, like: str) -> tuple[Witnesses, list[str]]:
    """Fits, and writes the whole file or nothing. Returns it, with what the user should know. Raises `InputError`."""
    from merrflow.core.atomic_files import whole_text
    from merrflow.core.datafile import DataFileError
    from merrflow.core.fingerprint import file_sha256
    from merrflow.datasets.entries import entries
    from merrflow.datasets.evaluation import witness_fit
    from merrflow.formats.merr import read_labels
    from merrflow.stages.witnesses.render import witnesses_yaml
    from merrflow.stages.witnesses.rules import SUFFIXES, load_witnesses
    from merrflow.store import existing_ledger

    if to.suffix not in SUFFIXES:
        raise InputError(f"{to}: a file of witnesses ends in .yaml or .yml")
    if to.exists():
        raise InputError(f"{to}: already exists; choose another name with --to")
    try:
        rules = load_witnesses(like)
    except DataFileError as error:
        raise InputError(str(error)) from error

    truth = read_labels(labels, rules.normal)
    ledger = existing_ledger(out)
    try:
        records = [entry.record for entry in entries(ledger)]
    finally:
        ledger.close()
    clips = witness_fit.judged(records, lambda record: truth.get(record.name), rules)
    if not clips:
        raise InputError(f"{labels}: names none of the {len(records)} clips with a record in {out}")
    found = witness_fit.fit_witnesses(clips, rules, to.stem, labels.name, file_sha256(labels))
    try:
        with whole_text(to) as file:
            file.write(witnesses_yaml(found))
    except OSError as error:
        raise InputError(f"{to}: cannot be written ({error.strerror})") from error
    remarks = [f"{len(clips)} of {len(records)} records have a label in {labels}"]
    remarks += [
        f"{name} abstained on all of them, so its weights stay as they were: {reason}"
        for name, reason in witness_fit.silent(clips, rules).items()
    ]
    return load_witnesses(to), remarks


def _figures(found: Witnesses) -> list[str]:
    assert found.fit is not None
    rows = (
        ("confirmed", found.fit.confirmed, found.fit.default_confirmed),
        ("contradicted", found.fit.contradicted, found.fit.default_contradicted),
    )
    return [f"{name}: {_shown(mine)}; with the defaults {_shown(theirs)}" for name, mine, theirs in rows]


def _shown(held: Held) -> str:
    if held.precision is None:
        return "no clip"
    return f"precision {held.precision:.2f}, recall {held.recall or 0:.2f} ({held.number} clips)"
