"""`merrflow score`: how good the fine-grained texts of a finished run are, without references."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from merrflow.cli.terminal import error_console, json_text, output_console

if TYPE_CHECKING:
    from merrflow.core.settings import RunSettings
    from merrflow.datasets.scoring.files import Tally
    from merrflow.datasets.scoring.score import Texts
    from merrflow.stages.claims.judge import Judge
    from merrflow.store import Ledger

JUDGES = ("rules", "model")
_REASON = 60  # characters of why a score is not measured


def score(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of a finished run.", show_default=False)],
    judge: Annotated[
        str, typer.Option(help="Who judges the claims of a text: rules, model, or both as rules,model.")
    ] = "rules",
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Score this clip alone; repeatable.")
    ] = None,
    config: Annotated[Path | None, typer.Option("--config", "-c", help="A YAML file with addresses.")] = None,
    allow_remote: Annotated[
        bool | None,
        typer.Option(
            "--allow-remote/--no-remote", help="Whether the model may be beyond this machine.", show_default=False
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Score the fine-grained texts of a finished run, without references.

    Each text is split into claims, and judges say of each whether the clip's
    clues support it, contradict it, or do not tell. The judge rules needs no
    model; the judge model asks the llama3 service, which must score by the prompt
    judge (MERRFLOW_LLAMA3_SCORE_PROMPT=judge; without an address, one is started
    for this command). Measures beside them: Action Units that the text names
    against those at the peak, tone against sound, subtitle against recognised
    speech, agreement on the label, distinctness, readability. What cannot be
    measured is left empty, and is never zero.

    Scores are kept in the ledger: a text is scored again only if it or the judge
    changes, and a stopped command goes on where it was. Writes OUT/scores.csv and
    OUT/scores.jsonl, and renews report.html and records.jsonl. Exports have the
    scores as columns, and the filter claims of merrflow curate uses them.
    docs/scoring.md explains each score.

    [bold]Example:[/bold] merrflow score --out out/ --judge rules,model
    """
    from merrflow.core.errors import InputError
    from merrflow.store import existing_ledger

    wanted = tuple(dict.fromkeys(name.strip() for name in judge.split(",") if name.strip()))
    if unknown := [name for name in wanted if name not in JUDGES]:
        raise InputError(f"--judge: there is no judge {unknown[0]!r}; the judges are: {', '.join(JUDGES)}")
    ledger = existing_ledger(out)
    try:
        tally, remarks = asyncio.run(_score(ledger, out, wanted, only, config, allow_remote))
    finally:
        ledger.close()
    if as_json:
        print(json_text(as_values(out, tally, remarks)))
    else:
        show(out, tally, remarks, output_console())


async def _score(
    ledger: Ledger,
    out: Path,
    wanted: Sequence[str],
    only: Sequence[str] | None,
    config: Path | None,
    allow_remote: bool | None,
) -> tuple[Tally, tuple[str, ...]]:
    from merrflow.core.errors import InputError, listed, writing_outputs
    from merrflow.core.settings_file import load_settings
    from merrflow.datasets.outputs import write_outputs
    from merrflow.datasets.scoring.files import ScoreFiles, score_names
    from merrflow.datasets.scoring.score import read_texts

    settings = load_settings(config, allow_remote=allow_remote)
    if only and (gone := sorted(set(only) - set(ledger.names()))):
        raise InputError(f"--only: {out} has no clip {listed(gone)}")
    texts = await asyncio.to_thread(read_texts, ledger, set(only) if only else None)
    remarks: tuple[str, ...] = ()
    if texts.names:
        async with open_judges(wanted, settings) as judges:
            remarks = await _with_progress(ledger, texts, judges)
    if texts.without:
        remarks += (f"records without a fine-grained text, which are not scored: {texts.without}",)
    files = ScoreFiles(out, score_names(ledger))
    with writing_outputs(out):
        await asyncio.to_thread(write_outputs, ledger, out, also=[files])
    return files.tally, remarks


async def _with_progress(ledger: Ledger, texts: Texts, judges: Sequence[Judge]) -> tuple[str, ...]:
    from merrflow.datasets.scoring.score import score as work

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=error_console(), transient=True) as progress:
        task = progress.add_task("scoring texts", total=len(texts.names))
        return await work(ledger, texts, judges, lambda count: progress.advance(task, count))


@asynccontextmanager
async def open_judges(wanted: Sequence[str], settings: RunSettings) -> AsyncIterator[list[Judge]]:
    """The judges that are wanted, ready to answer. Raises `InputError`, or `MerrflowError` if the service is away."""
    from merrflow.clients.services import Services
    from merrflow.pipeline.local_services import Local, LocalServices
    from merrflow.pipeline.log_folder import log_folder
    from merrflow.stages.claims.model import PROMPT, SERVICE, ModelJudge
    from merrflow.stages.claims.rules import RuleJudge
    from merrflow_serving.catalog import SERVICES

    judges: dict[str, Judge] = {RuleJudge().name: RuleJudge()}
    if ModelJudge.name not in wanted:
        yield [judges[name] for name in wanted]
        return
    console = error_console()
    async with AsyncExitStack() as stack:
        address = settings.address(SERVICE)
        if not address:
            console.print(f"{SERVICE} has no address; starting an embedded one for this command ...", style="dim")
            variables = {f"{SERVICES[SERVICE].env_prefix}SCORE_PROMPT": PROMPT}
            logs = stack.enter_context(log_folder())
            local = await stack.enter_async_context(
                LocalServices(logs, None, {SERVICE: Local(SERVICE, environment=variables)})
            )
            address, settings = local.addresses[SERVICE], settings.for_embedded_services(local.token)
        services = await stack.enter_async_context(Services({SERVICE: address}, settings))
        await services.wait_ready()
        judges[ModelJudge.name] = ModelJudge(services, services.identities()[SERVICE])
        yield [judges[name] for name in wanted]


def as_values(out: Path, tally: Tally, remarks: Sequence[str]) -> dict[str, Any]:
    """What was found as JSON."""
    from merrflow.datasets.scoring.files import CSV, LINES

    return {
        "out": str(out.absolute()),
        "written": [str((out / name).absolute()) for name in (CSV, LINES)],
        "texts": tally.texts,
        "scores": {
            figure.name: {
                "about": figure.about,
                "mean": figure.mean,
                "measured": figure.measured,
                "not_measured": dict(figure.why_not.most_common()),
            }
            for figure in tally.figures()
        },
        "remarks": list(remarks),
    }


def show(out: Path, tally: Tally, remarks: Sequence[str], console: Console) -> None:
    """The same as a table."""
    from merrflow.datasets.scoring.files import CSV, LINES

    table = Table("score", "mean", "measured", "what it is; why some are not measured")
    for figure in tally.figures():
        mean = "not measured" if figure.mean is None else f"{figure.mean:.2f}"
        why = figure.why_not.most_common(1)
        note = f"\n{why[0][1]} not: {why[0][0][:_REASON]}" if why else ""
        table.add_row(figure.name, mean, f"{figure.measured} of {tally.texts}", figure.about + note)
    if tally.texts:
        console.print(table)
    else:
        console.print(f"{out}: no record has a fine-grained text to score", markup=False)
    for remark in remarks:
        console.print(remark, markup=False, style="yellow", soft_wrap=True)
    for name in (CSV, LINES):
        console.print(str(out / name), markup=False, soft_wrap=True)
