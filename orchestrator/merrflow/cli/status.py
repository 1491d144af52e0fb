"""`merrflow status` and `merrflow report`: what the ledger of a run says, shown and written."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from merrflow.cli.terminal import output_console

if TYPE_CHECKING:
    from rich.console import Console

SHOWN_REASONS = 20
OutOption = Annotated[Path, typer.Option("--out", "-o", help="The folder of a run.", show_default=False)]
PricesOption = Annotated[
    Path | None,
    typer.Option(
        envvar="MERRFLOW_PRICES",
        help="A YAML file with prices of models, to show what endpoints cost (docs/remote-models.md).",
        show_default=False,
    ),
]


def status(
    out: OutOption,
    prices: PricesOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the state of a run: outcomes, labels, failures with reasons, what endpoints took. Works during a run."""
    found = read_status(out, prices)
    console = output_console()
    console.print_json(json.dumps(found)) if as_json else show_status(found, console)


def report(out: OutOption, prices: PricesOption = None) -> None:
    """Write all output files of a run again, including report.html. Calls no model."""
    from merrflow.core.errors import writing_outputs
    from merrflow.datasets.costs import read_prices
    from merrflow.datasets.outputs import write_outputs
    from merrflow.store import existing_ledger

    known = read_prices(prices)
    with closing(existing_ledger(out)) as ledger, writing_outputs(out):
        summary = write_outputs(ledger, out, prices=known)
    output_console().print(f"{summary.out / 'report.html'}: {summary.coarse} coarse, {summary.fine} fine records")
    for remark in summary.remarks:
        output_console().print(remark, markup=False, soft_wrap=True)


def read_status(out: Path, prices: Path | None = None) -> dict[str, Any]:
    """Counts of outcomes, labels and reasons, the mean seconds of each stage, and what endpoints took."""
    from merrflow.core.records import Outcome
    from merrflow.datasets.costs import read_prices, spent
    from merrflow.datasets.entries import entries
    from merrflow.stages.graph import GRAPH
    from merrflow.store import existing_ledger

    known = read_prices(prices)
    ledger = existing_ledger(out)
    labels: Counter[str] = Counter()
    seconds: defaultdict[str, float] = defaultdict(float)
    worked: Counter[str] = Counter()
    for entry in entries(ledger):
        labels[entry.record.label.label] += 1
        for stage, value in entry.record.seconds.items():
            seconds[stage] += value
            worked[stage] += 1
    rows = ledger.statuses()  # after the records: one that cannot be parsed leaves its clip unfinished
    reasons = Counter((str(row.outcome), row.reason) for row in rows if row.outcome not in (None, Outcome.DONE))
    endpoints = spent(ledger, known)
    ledger.close()
    return {
        "out": str(out.absolute()),
        "clips": len(rows),
        "outcomes": dict(Counter(str(row.outcome or "unfinished") for row in rows)),
        "labels": dict(labels.most_common()),
        "try_again": sum(row.retry for row in rows),
        "reasons": [
            {"outcome": outcome, "reason": reason, "clips": count} for (outcome, reason), count in reasons.most_common()
        ],
        "mean_seconds": {
            stage.name: round(seconds[stage.name] / worked[stage.name], 3) for stage in GRAPH if stage.name in seconds
        },
        "endpoints": [asdict(one) | {"tokens_per_second": one.tokens_per_second} for one in endpoints],
    }


def show_status(found: dict[str, Any], console: Console) -> None:
    """The same as tables."""
    from rich.table import Table

    console.print(f"{found['out']}: {found['clips']} clips")
    for title, value, key in (
        ("outcome", "clips", "outcomes"),
        ("label", "clips", "labels"),
        ("stage", "mean seconds", "mean_seconds"),
    ):
        if found[key]:
            table = Table(title, value)
            for name, count in found[key].items():
                table.add_row(name, str(count))
            console.print(table)
    if found["endpoints"]:
        table = Table("endpoint", "model", "answers", "calls", "tokens in", "tokens out", "tokens/s", "cost")
        for row in found["endpoints"]:
            counts = (row[key] for key in ("answers", "calls", "input_tokens", "output_tokens"))
            table.add_row(
                *(row["endpoint"], row["model"], *map(str, counts), f"{row['tokens_per_second']:.1f}"),
                "no price" if row["cost"] is None else f"{row['cost']:.4f} {row['currency']}".strip(),
            )
        console.print(table)
    if found["reasons"]:
        table = Table("outcome", "clips", "reason")
        for row in found["reasons"][:SHOWN_REASONS]:
            table.add_row(row["outcome"], str(row["clips"]), row["reason"])
        console.print(table)
    if found["try_again"]:
        console.print(f"{found['try_again']} clips failed for a reason that may pass; run the same command again")
