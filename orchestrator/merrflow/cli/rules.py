"""`merrflow rules`: lists rule sets, shows (and checks) or fits one; fits the witnesses of a label."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from merrflow.cli.command import App
from merrflow.cli.fit_witnesses import fit_witnesses
from merrflow.cli.terminal import output_console
from merrflow.core.errors import InputError, unwritable

if TYPE_CHECKING:
    from merrflow.facs import RuleSet

app = App(
    help="Rule sets (which Action Units give which label): list, show, fit; and the witnesses of a label.",
    no_args_is_help=True,
)
app.command("fit-witnesses")(fit_witnesses)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")]


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the packaged rule sets, for `merrflow run --rules NAME`."""
    from merrflow.cli.rule_tables import summary
    from merrflow.facs import load_rules, packaged_rules

    console = output_console()
    found = [summary(load_rules(name)) for name in packaged_rules()]
    if as_json:
        console.print_json(json.dumps(found))
        return
    for entry in found:
        console.print(f"[bold]{entry['name']}[/bold] {entry['version']}: {escape(entry['description'])}")
        console.print(f"    decides by {entry['decide']}; labels: {', '.join(entry['labels'])}")
    console.print("`merrflow rules show NAME` shows one; docs/evaluation.md says how accurate each is.", markup=False)


@app.command()
def show(
    rules: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A rule set's name, or a YAML file.", show_default=False)
    ],
    as_json: JsonOption = False,
) -> None:
    """Show a rule set: labels with their units and conditions, phrases, sources.

    Also checks a file of your own: each error is reported with its line and
    value, and the exit code is 2.

    [bold]Example:[/bold] merrflow rules show mine.yaml
    """
    from merrflow.cli.rule_tables import describe, show_rules

    console = output_console()
    found = load(rules)
    console.print_json(json.dumps(describe(found))) if as_json else show_rules(found, console)


@app.command()
def fit(
    against: Annotated[
        Path,
        typer.Option(
            "--against",
            "-a",
            help="Annotations in MERR's form: a JSON object of records with pseu_emotion and peak_AU_list.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The YAML file to write.", show_default=False)],
    like: Annotated[
        str, typer.Option(help="The rule set from which labels, their units, phrases and peak rules are taken.")
    ] = "default",
    as_json: JsonOption = False,
) -> None:
    """Fit weights of single Action Units to annotations, and write them as a rule set.

    The file also says how accurate the weights are on records they were not
    fitted to (5-fold cross-validation, 5 times), and how accurate methods are
    that may learn any function of the units. The rule set is named after OUT.

    [bold]Example:[/bold] merrflow rules fit --against annotations.json --out mine.yaml
    """
    from merrflow.cli.rule_tables import describe, show_fit

    console = output_console()
    found = fit_to(against, out, like)
    if as_json:
        console.print_json(json.dumps(describe(found)))
        return
    if found.fit:
        show_fit(found.fit, console)
    console.print(f"{out}: written; use it with `merrflow run --rules {out}`", markup=False)


def load(name_or_path: str) -> RuleSet:
    """A rule set, checked. Raises `InputError` with one line for each error."""
    from merrflow.facs import DataFileError, load_rules

    try:
        return load_rules(name_or_path)
    except DataFileError as error:
        raise InputError(str(error)) from error


def fit_to(against: Path, out: Path, like: str) -> RuleSet:
    """Fits, and writes the whole file or nothing. Raises `InputError`."""
    from pydantic import TypeAdapter, ValidationError

    from merrflow.core.atomic_files import whole_text
    from merrflow.facs.render import rules_yaml
    from merrflow.facs.rule_files import SUFFIXES
    from merrflow.facs.rules import Name
    from merrflow.formats.labelled import read_labelled

    if out.suffix not in SUFFIXES:
        raise InputError(f"{out}: a rule set's file ends in .yaml or .yml")
    if out.exists():
        raise InputError(f"{out}: already exists; choose another name with --out")
    try:
        name = TypeAdapter(Name).validate_python(out.stem)
    except ValidationError as error:
        raise InputError(
            f"{out}: the rule set is named after the file, so use only lower-case letters, digits, - and _"
        ) from error
    pattern = load(like)
    annotations = read_labelled(against, pattern)
    try:
        from merrflow.facs.calibrate import calibrate

        found = calibrate(annotations, pattern, name)
    except ModuleNotFoundError as error:
        raise InputError(f"a fit needs scikit-learn ({error.name} is missing): pip install scikit-learn") from error
    lexicon = pattern.own_lexicon
    if lexicon is not None:  # its path is relative to the new file's folder
        found = found.model_copy(update={"lexicon": os.path.relpath(lexicon, out.absolute().parent)})
    try:
        with whole_text(out) as file:
            file.write(rules_yaml(found))
    except OSError as error:
        raise unwritable(out, error) from error
    return load(str(out))
