"""`merrflow evaluate`: compares a run, or rule sets alone, with MERR's annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from merrflow.cli.terminal import error_console, output_console
from merrflow.core.errors import InputError, unwritable
from merrflow.core.paths import path_text

if TYPE_CHECKING:
    from merrflow.datasets.evaluation.compare import RunReport
    from merrflow.datasets.evaluation.gate import Gate
    from merrflow.datasets.evaluation.rulesets import RulesReport
    from merrflow.datasets.evaluation.runs import FinishedRun
    from merrflow.formats.merr import MerrAnnotation

VERSION = "1"  # of evaluation.json
DROPPED = 3  # exit code if a score is below the baseline's by more than its noise
JSON_NAME, PICTURE_NAME = "evaluation.json", "evaluation.png"


@dataclass(frozen=True)
class Evaluation:
    """What was measured; evaluation.json holds it under these names."""

    version: str
    against: str  # the file's name
    run: RunReport | None
    rules: RulesReport | None
    gate: Gate | None = None  # only with a baseline


@dataclass(frozen=True)
class Baselines:
    """Which baseline the run is held against, or where its own is written."""

    hold: Path | None = None
    save: Path | None = None

    def check(self, out: Path | None) -> None:
        """Raises `InputError` for options that do not fit."""
        if self.hold and self.save:
            raise InputError(
                "--baseline and --save-baseline: give one; a run that is worse must not be the next measure"
            )
        if (self.hold or self.save) and out is None:
            raise InputError("--baseline and --save-baseline are about a run; give --out DIR")

    def use(self, run: FinishedRun, file: Mapping[str, MerrAnnotation], against: Path, sha256: str) -> Gate | None:
        """Writes or compares; None without a baseline. file: with labels in the project's own words."""
        if not (self.hold or self.save):
            return None
        from merrflow.datasets.evaluation.baseline import baseline_of, check_same, read_baseline, write_baseline
        from merrflow.datasets.evaluation.gate import hold

        now = baseline_of(run, file, path_text(Path(against.name)), sha256)
        if self.save:
            write_baseline(self.save, now)
        if not self.hold:
            return None
        before = read_baseline(self.hold)
        check_same(before, now, self.hold, run.without_record)
        return hold(file, before.clips, now.clips)


def evaluate(
    against: Annotated[
        Path,
        typer.Option(
            "--against",
            metavar="FILE",
            help="The annotations: MERR's JSON (coarse or fine) or, for labels alone, its TXT or a CSV with the "
            "columns name,label. Clips are matched by name.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The folder of a run to measure.", show_default=False)
    ] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            "--rules",
            metavar="NAME|FILE",
            help="A rule set to measure alone, on the Action Units in FILE; repeatable. 'all' means every packaged "
            "rule set.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png|FILE.svg",
            help="File for the chart of confusion, peak distances and Action Units (default: OUT/evaluation.png).",
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Compare the run with this baseline of the same clips: exit code 3 if a score dropped by more than "
            "its noise.",
            show_default=False,
        ),
    ] = None,
    save_baseline: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the run's answers as a baseline for later runs.", show_default=False),
    ] = None,
) -> None:
    """Measure how well a run, or a rule set alone, agrees with MERR's annotations.

    Calls no model. --out OUT compares a run, clip by clip: distance of the peak
    frames, Action Units (precision, recall, F1), AU_list and phrases, labels with
    their confusion, and length and distinctness of the captions. It writes
    evaluation.json and evaluation.png into OUT.

    --rules NAME applies a rule set to the peak Action Units in FILE, and compares
    its labels with the best that any function of those Action Units could reach,
    and with always giving the same label.

    Both may be given. docs/evaluation.md explains each number.

    --save-baseline keeps what a run says of each clip. --baseline holds a later
    run against that: paired bootstrap over the clips, 95 % intervals.
    """
    console = output_console()
    found = measure(against, out, tuple(rules or ()), picture, Baselines(baseline, save_baseline))
    text = as_text(found)
    written = write(found, text, out, picture)
    if as_json:
        print(text, end="")
    else:
        show(found, console)
        for path in written:
            console.print(str(path), markup=False, soft_wrap=True)
    if found.gate and found.gate.dropped:
        names = "; ".join(change.score for change in found.gate.dropped)
        error_console().print(
            f"merrflow: dropped by more than its noise: {names}", style="red", markup=False, soft_wrap=True
        )
        raise typer.Exit(DROPPED)


def measure(
    against: Path,
    out: Path | None,
    rules: tuple[str, ...],
    picture: Path | None = None,
    baselines: Baselines | None = None,
) -> Evaluation:
    """Reads both sides and measures; writes the baseline if one is to be saved. Raises `InputError`, before any work if
    possible."""
    if out is None and not rules:
        raise InputError("say what to measure: a run (--out DIR), rule sets (--rules NAME), or both")
    baselines = baselines or Baselines()
    baselines.check(out)
    from merrflow.core.fingerprint import file_sha256
    from merrflow.datasets.evaluation.compare import compare, in_own_words
    from merrflow.datasets.evaluation.picture import check_picture
    from merrflow.datasets.evaluation.rulesets import evaluate_rules, load_rule_sets
    from merrflow.formats.merr import read_annotations

    if picture:
        check_picture(picture)
    rule_sets = load_rule_sets(rules)
    annotations = read_annotations(against)
    run = read_run(out) if out else None
    sha256 = file_sha256(against)
    report = compare(run, annotations, rule_sets, against) if run else None
    return Evaluation(
        version=VERSION,
        against=path_text(Path(against.name)),
        run=report,
        rules=evaluate_rules(rule_sets, annotations, against, sha256) if rule_sets else None,
        gate=baselines.use(run, in_own_words(run, annotations, rule_sets, against), against, sha256) if run else None,
    )


def read_run(out: Path) -> FinishedRun:
    """A run from its folder: its ledger or, without one, its records.jsonl. Raises `InputError`."""
    from merrflow.core.settings_file import load_settings
    from merrflow.datasets.evaluation.runs import read_ledger, read_lines
    from merrflow.store import existing_ledger

    lines = out / "records.jsonl"
    if lines.is_file() and not (out / "ledger.db").is_file() and not load_settings().ledger_url:
        return read_lines(lines)
    with closing(existing_ledger(out)) as ledger:
        return read_ledger(ledger)


def as_text(found: Evaluation) -> str:
    """As JSON; equal results give equal text."""
    from merrflow.datasets.evaluation.measures import plain

    values = plain(found)
    if not found.gate:
        del values["gate"]
    return json.dumps(values, ensure_ascii=False, indent=2) + "\n"


def write(found: Evaluation, text: str, out: Path | None, picture: Path | None) -> list[Path]:
    """Writes evaluation.json of a run, and the chart, each whole or not at all. Returns their paths."""
    from merrflow.core.atomic_files import whole_text
    from merrflow.datasets.evaluation.picture import draw

    data = out / JSON_NAME if out else None
    drawing = picture or (out / PICTURE_NAME if out else None)
    try:
        if data:
            with whole_text(data) as file:
                file.write(text)
        if drawing:
            draw(drawing, found.against, found.run, found.rules)
    except OSError as error:
        raise unwritable(Path(error.filename or drawing or data or "."), error) from error
    return [path for path in (data, drawing) if path]


def show(found: Evaluation, console: Console) -> None:
    """As tables."""
    from merrflow.datasets.evaluation.tables import show_gate, show_rules, show_run

    if found.run:
        show_run(found.run, console)
    if found.rules:
        show_rules(found.rules, console)
    if found.gate:
        show_gate(found.gate, console)
