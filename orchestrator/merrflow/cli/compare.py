"""`merrflow compare`: which of two runs wrote the better texts, by people or by a model."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from merrflow.cli.expanded import Expanded
from merrflow.cli.review import Page, Port
from merrflow.cli.terminal import error_console, json_text, output_console
from merrflow.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from merrflow.datasets.preference.answers import Answers
    from merrflow.datasets.preference.judge import Unanswered
    from merrflow.datasets.preference.pairs import Matching, Pair
    from merrflow.store import Ledger

SERVICE = "llama3"
PAUSE_SECONDS = 15.0  # between two lines of progress


class Judge(StrEnum):
    """Who is asked."""

    PEOPLE = "people"
    MODEL = "model"


class Text(StrEnum):
    """Which text is compared."""

    FINE = "fine"
    COARSE = "coarse"


@dataclass(frozen=True)
class ComparePage(Page):
    """At a port of its own, beside merrflow review."""

    port: Port = 4211


@Expanded
def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="The folder of a run.", show_default=False)],
    b: Annotated[
        Path,
        typer.Argument(
            metavar="B",
            help="The folder of another run over the same clips; its ledger keeps the answers.",
            show_default=False,
        ),
    ],
    by: Annotated[Judge, typer.Option(help="Who judges: people on a local page, or the reasoning model.")] = (
        Judge.PEOPLE
    ),
    text: Annotated[Text, typer.Option(help="Which text: the fine-grained or the coarse-grained one.")] = Text.FINE,
    sample: Annotated[int, typer.Option(min=0, help="Clips to draw; 0: all.")] = 0,
    again: Annotated[
        float, typer.Option(min=0, max=1, help="By people: share of pairs shown a second time, the other way round.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="Seed of the sample, and of what is shown when and on which side.")] = 0,
    to: Annotated[
        Path | None,
        typer.Option(
            help="Folder for compare.json and compare.csv (default: B/compare/NAME OF A).", show_default=False
        ),
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Ask nobody; show what was answered so far.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="By model: a YAML file with the service's address.")
    ] = None,
    allow_remote: Annotated[
        bool | None,
        typer.Option(
            "--allow-remote",
            help="By model: let the service send texts to an endpoint beyond this machine and its private network.",
            show_default=False,
        ),
    ] = None,
    *,
    page: ComparePage,
) -> None:
    """Find out which of two runs describes the same clips better.

    Clips are matched by their bytes. Whoever judges sees both texts of a clip
    and not which run each is from. Texts that are the same are ties.

    By people: a local page, until Ctrl-C; keys 1, 2, 0 (as good), u (undo).
    Which text is on the left is drawn anew for each clip and reviewer, and some
    pairs come twice, the other way round, to see how consistent people are.

    By model: the service llama3 is asked about each pair in both orders, and
    prefers a text if both answers do. Without an address it is started here.

    The result is how often B is preferred to A, with a 95 % interval and a sign
    test. B's ledger keeps the answers; the same command goes on with them.

    Exit code 1: the model has not answered everything; run the command again.

    [bold]Example:[/bold] merrflow compare old/ new/ --by model --sample 200
    """
    from merrflow.datasets.preference.answers import Answers
    from merrflow.datasets.preference.pairs import Kind, match, read_run
    from merrflow.datasets.preference.pairs import sample as drawn
    from merrflow.datasets.preference.written import check_folder
    from merrflow.store import existing_ledger

    if a.resolve() == b.resolve():
        raise InputError(f"{a} and {b} are the same folder; give two runs over the same clips")
    folder = to or b / "compare" / (a.resolve().name + ("" if text is Text.FINE else f"-{text}"))
    with closing(existing_ledger(a)) as ledger_a, closing(existing_ledger(b)) as ledger_b:
        check_folder(folder)
        matching = match(read_run(ledger_a, a, Kind(text)), read_run(ledger_b, b, Kind(text)))
        pairs = drawn(matching.pairs, sample, seed)
        answers = Answers(ledger_b, pairs)
        problem = ""
        if not report and by is Judge.PEOPLE:
            _serve((ledger_a, ledger_b), matching, pairs, (seed, again), page)
        elif not report:
            problem = asyncio.run(_ask(pairs, answers, config, allow_remote, b))
        _finish(matching, pairs, answers, folder, as_json)
    if problem:
        error_console().print(f"merrflow: {problem}", style="red", markup=False, soft_wrap=True)
        raise typer.Exit(1)


def _serve(
    ledgers: tuple[Ledger, Ledger],
    matching: Matching,
    pairs: Sequence[Pair],
    draw: tuple[int, float],
    page: Page,
) -> None:
    from merrflow.datasets.preference.app import compare_app
    from merrflow.datasets.preference.desk import CompareDesk
    from merrflow.datasets.review.server import serve_page

    desk = CompareDesk(ledgers, matching, pairs, *draw)
    if not len(desk):
        return
    console = error_console()
    with suppress(KeyboardInterrupt):  # the way to end it
        serve_page(
            compare_app(desk, page.reviewer),
            page.listen(),
            lambda address: console.print(
                f"{len(desk)} pairs to judge; open {address} (Ctrl-C ends, and shows the result)",
                markup=False,
                soft_wrap=True,
            ),
        )


async def _ask(
    pairs: Sequence[Pair], answers: Answers, config: Path | None, allow_remote: bool | None, out: Path
) -> str:
    """Asks the model. Returns what is to be said of pairs without an answer."""
    from merrflow.clients.services import Services
    from merrflow.core.settings_file import load_settings
    from merrflow.datasets.preference.judge import ask, judge_name
    from merrflow.pipeline.local_services import START_SECONDS, LocalServices

    if all(pair.identical for pair in pairs):
        return ""
    console = error_console()

    def say(told: str) -> None:
        console.print(told, markup=False, soft_wrap=True, style="dim")

    settings = load_settings(config, allow_remote=allow_remote)
    async with AsyncExitStack() as stack:
        address, local = settings.address(SERVICE), None
        if not address:
            say(f"no address of {SERVICE} is set: starting the embedded one")
            local = await stack.enter_async_context(LocalServices(out / "logs", None, (SERVICE,)))
            address = local.addresses[SERVICE]
            settings = settings.for_embedded_services(local.token)
            settings = settings.model_copy(update={"connect_seconds": max(settings.connect_seconds, START_SECONDS)})
        services = await stack.enter_async_context(Services({SERVICE: address}, settings))
        await services.wait_ready(say)
        for sentence in services.destinations():
            say(sentence)
        name = judge_name(services.identities()[SERVICE])
        say(f"{name} judges at {address}")
        asking = ask(pairs, answers, services, name, _progress(say))
        return _without_answer(await (local.while_alive(asking) if local else asking))


def _progress(say: Callable[[str], None]) -> Callable[[int, int], None]:
    """A line now and then."""
    from time import monotonic

    started = last = monotonic()

    def advance(done: int, total: int) -> None:
        nonlocal last
        now = monotonic()
        if done == total or now - last > PAUSE_SECONDS:
            last = now
            say(f"{done} of {total} questions, {(now - started) * (total - done) / done:.0f} s left")

    return advance


def _without_answer(left: Unanswered) -> str:
    if left.stopped:
        return f"{left.stopped}: the comparison stopped; the same command goes on with it"
    if left.reasons:
        why = ", ".join(f"{reason}: {count}" for reason, count in sorted(left.reasons.items()))
        return f"{sum(left.reasons.values())} of {left.asked} questions got no answer ({why}); the first: {left.first}"
    return ""


def _finish(matching: Matching, pairs: Sequence[Pair], answers: Answers, folder: Path, as_json: bool) -> None:
    from merrflow.datasets.preference.result import compared
    from merrflow.datasets.preference.tables import show
    from merrflow.datasets.preference.written import as_values, write

    found = compared(matching, pairs, answers.all())
    written = write(found, folder)
    if as_json:
        print(json_text(as_values(found)))
        return
    show(found, output_console())
    for path in written:
        output_console().print(str(path), markup=False, soft_wrap=True)
