"""What a person sees of a run on a Prefect server."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from merrflow.cli.progress import PLAIN_SECONDS, SHOWN_PROBLEMS
from merrflow.flow.submit import ServerRun, run_on_server
from merrflow.pipeline.request import Request

_WORDS = {
    "Scheduled": "waiting for a worker",
    "Late": "waiting for a worker (all are busy, or none is running: start one with `merrflow worker`)",
    "Pending": "a worker is starting it",
    "Submitting": "a worker is starting it",
    "AwaitingRetry": "its worker is gone; waiting for another",
    "Crashed": "its worker is gone; waiting for another",
    "Running": "running",
}


async def watch_on_server(request: Request, console: Console) -> ServerRun:
    """Runs a request on the server and shows its progress. The run continues if this is cancelled."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    shown, last = "", 0.0
    with Progress(*columns, console=console, speed_estimate_period=120, transient=True) as progress:
        bar = progress.add_task("asking the Prefect server", total=None)

        def on_state(state: str, share: float | None, page: str) -> None:
            nonlocal shown, last
            if not shown:
                console.print(f"the run is at {page}; it continues if you leave this command", soft_wrap=True)
            text = _WORDS.get(state, state.lower())
            progress.update(bar, description=text, total=1.0, completed=share or 0.0)
            line = text if share is None else f"{text}, {share:.0%}"
            now = time.monotonic()
            if not console.is_terminal and line != shown and (text not in shown or now - last > PLAIN_SECONDS):
                console.print(line)
                last = now
                shown = line
            shown = shown or line

        run = await run_on_server(request, on_state)
    show_server_run(run, console)
    return run


def show_server_run(run: ServerRun, console: Console) -> None:
    """How it ended, in a few lines."""
    if run.counts:
        counts = run.counts.items()
        parts = [f"{n} {what.removeprefix('outcome: ').replace('_', ' ')}" for what, n in counts if "outcome: " in what]
        console.print(f"{run.counts.get('clips', 0)} clips: {', '.join(parts)}")
        for name, reason in run.problems[:SHOWN_PROBLEMS]:
            console.print(f"  failed: {name}: {reason}", markup=False, soft_wrap=True)
        labels = [f"{what.removeprefix('label: ')} {count}" for what, count in counts if "label: " in what]
        coarse, fine = (run.counts.get(f"{kind}-grained records", 0) for kind in ("coarse", "fine"))
        console.print(f"records: {coarse} coarse, {fine} fine ({', '.join(labels) or 'none'})")
        if run.counts.get("to try again"):
            console.print(f"  {run.counts['to try again']} clips failed for a reason that may pass; run it again")
    if run.state != "Completed":
        console.print(f"the run ended as {run.state}: {run.message}", markup=False, soft_wrap=True)
    console.print(f"the results are in {run.out}, as the workers see it; the run is at {run.page}", soft_wrap=True)
