"""`merrflow review` and `merrflow audit`: people look at the records, in a browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from merrflow.cli.expanded import Expanded
from merrflow.cli.terminal import error_console, json_text, output_console

if TYPE_CHECKING:
    from merrflow.datasets.review.agreement import Share
    from merrflow.datasets.review.audit import Audit, AuditReport
    from merrflow.datasets.review.server import Listen

Out = Annotated[Path, typer.Option("--out", "-o", help="The folder of a run.", show_default=False)]

Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free one.")]


@dataclass(frozen=True)
class Page:
    """How the page is opened; options of every command that has one."""

    reviewer: Annotated[
        str, typer.Option(help="The name that the page starts with; each reviewer can enter another.")
    ] = ""
    host: Annotated[str, typer.Option(help="Address to listen on. Beyond this machine it needs TLS and a token.")] = (
        "127.0.0.1"
    )
    port: Port = 4210
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate (PEM), for other machines.")] = None
    tls_key: Annotated[Path | None, typer.Option(help="Its private key (PEM).")] = None
    token_file: Annotated[
        Path | None, typer.Option(help="File with tokens, one per line; the page is opened with ?token=TOKEN.")
    ] = None

    def listen(self) -> Listen:
        """Where it is served."""
        from merrflow.datasets.review.server import Listen

        return Listen(self.host, self.port, self.tls_cert, self.tls_key, self.token_file)


@Expanded
def review(
    out: Out,
    blind: Annotated[
        bool, typer.Option("--blind", help="Begin in blind mode: your label before the record's.")
    ] = False,
    *,
    page: Page,
) -> None:
    """Check the records of a run in a browser: accept, reject, correct. Until Ctrl-C.

    Each verdict is in the ledger before the page says "saved". Exports use them:
    labels that people gave or confirmed have the source human, and merrflow
    curate drops the clips that they rejected. Several people can work at once.

    [bold]Example:[/bold] merrflow review --out out/ --reviewer ann
    """
    _serve(out, None, page, blind)


@Expanded
def audit(
    out: Out,
    sample: Annotated[int, typer.Option(min=1, help="Clips to draw, in proportion to the labels.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    report: Annotated[bool, typer.Option("--report", help="Show the results, and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --report: print JSON.")] = False,
    *,
    page: Page,
) -> None:
    """Measure how right a dataset is: a sample of its records, judged blind.

    Draws the sample, keeps it in OUT/audit.json, and serves the page of merrflow
    review for it: people give a label before they see the record's, and then
    judge each clue. --report gives the agreement by label and clue, with 95 %
    intervals, which the dataset card of an export shows, too. An audit only
    measures: no record changes.

    [bold]Example:[/bold] merrflow audit --out out/ --sample 500 --seed 1
    """
    from merrflow.core.errors import InputError
    from merrflow.datasets.review.audit import as_json as values
    from merrflow.datasets.review.audit import draw, read_audit, write_audit
    from merrflow.datasets.review.audit import report as reported
    from merrflow.datasets.review.index import read_items
    from merrflow.datasets.review.verdicts import standing
    from merrflow.store import existing_ledger

    ledger = existing_ledger(out)
    found = read_audit(out)
    try:
        if report:
            if found is None:
                raise InputError(f"{out}: no audit was drawn; run merrflow audit without --report first")
            result = reported(found, standing(ledger.verdicts(), found.id))
            print(json_text(values(result))) if as_json else _show(result)
            return
        if found is None or (found.sample, found.seed) != (sample, seed):
            if found and standing(ledger.verdicts(), found.id):
                raise InputError(
                    f"{out / 'audit.json'}: an audit of {found.sample} clips with seed {found.seed} has begun; go on "
                    "with these options, or move the file away to begin another one"
                )
            found = draw(read_items(ledger).values(), sample, seed)
            write_audit(out, found)
    finally:
        ledger.close()
    error_console().print(f"{len(found.drawn)} clips of {sum(found.strata.values())} are drawn: {out / 'audit.json'}")
    _serve(out, found, page, True)


def _serve(out: Path, audited: Audit | None, page: Page, blind: bool) -> None:
    from merrflow.datasets.review.desk import Desk
    from merrflow.datasets.review.server import serve
    from merrflow.store import existing_ledger

    ledger = existing_ledger(out)
    console = error_console()
    try:
        console.print("[dim]reading the records ...[/dim]")
        desk = Desk(ledger, out.absolute(), audited)
        serve(
            desk,
            page.listen(),
            lambda address: console.print(
                f"{desk.about()['total']} records to look at; open {address} (Ctrl-C ends)",
                markup=False,
                soft_wrap=True,
            ),
            reviewer=page.reviewer,
            blind=blind,
        )
    finally:
        ledger.close()


def _show(found: AuditReport) -> None:
    console = output_console()
    console.print(
        f"audit of {found.sample} clips (seed {found.seed}): {found.judged} judged, {found.rejected} rejected"
    )
    table = Table("", "agree", "95 % interval", "judged")
    table.add_row("all, weighted by label", *_cells(found.overall))
    for label, share in found.labels.items():
        table.add_row(f"label {label}", *_cells(share))
    for clue, share in found.clues.items():
        table.add_row(f"clue {clue}", *_cells(share))
    console.print(table)
    for pair in found.people.pairs:
        kappa = "not defined" if pair.kappa is None else f"{pair.kappa:.2f}"
        text = f"{pair.one} and {pair.other}: {pair.same} of {pair.clips} the same, Cohen's kappa {kappa}"
        console.print(text, markup=False)
    if found.people.fleiss is not None:
        console.print(f"all reviewers: Fleiss' kappa {found.people.fleiss:.2f}")


def _cells(share: Share) -> tuple[str, str, str]:
    if share.value is None:
        return "-", "-", "0"
    return f"{share.value:.1%}", f"{share.low:.1%} to {share.high:.1%}", str(share.of)
