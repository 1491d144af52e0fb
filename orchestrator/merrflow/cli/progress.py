"""What a person sees of a run: what it waits for, a bar with clips/s and time left, and how it ended."""

from __future__ import annotations

import time
from collections import Counter

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from merrflow.core.records import Outcome
from merrflow.datasets.outputs import Summary
from merrflow.flow.run import annotate_request
from merrflow.pipeline.gpu_phases.show import plan_table
from merrflow.pipeline.request import Request
from merrflow.pipeline.session import Session

PLAIN_SECONDS = 15.0  # between two lines if the output is not a terminal
SHOWN_PROBLEMS = 10


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.2f} clips/s" if task.speed else "- clips/s", style="progress.data.speed")


async def watch_run(request: Request, console: Console) -> Summary:
    """Runs a request and shows it."""
    started = time.monotonic()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, speed_estimate_period=120, transient=True) as progress:
        bar = progress.add_task("checking the arguments", total=None)
        plain = _Plain(console)

        def say(text: str) -> None:
            progress.update(bar, description=text)
            plain.say(text)

        def on_start(session: Session) -> None:
            counts: Counter[str] = Counter()
            total, finished = len(session.clips), len(session.clips) - len(session.todo)
            progress.update(bar, total=total, completed=finished)
            plain.start(total, finished)

            def on_clip(name: str, outcome: Outcome) -> None:
                counts[outcome] += 1
                text = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
                progress.update(bar, description=text)

            def on_advance(clips: float) -> None:
                progress.update(bar, advance=clips)
                plain.advance(clips)

            session.clip_finished.connect(on_clip)
            session.advanced.connect(on_advance)
            if session.plan:
                console.print(plan_table(session.plan))

        summary = await annotate_request(request, say=say, on_start=on_start)
    show_summary(summary, console, time.monotonic() - started)
    return summary


class _Plain:
    """The same as a line of text now and then, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = None if console.is_terminal else console
        self._total = 0
        self._done = self._before = 0.0
        self._started = self._last = time.monotonic()

    def say(self, text: str) -> None:
        if self._console:
            self._console.print(text, soft_wrap=True)  # one message is one line, for whoever searches a log

    def start(self, total: int, finished: int) -> None:
        self._total, self._done, self._before = total, finished, finished
        self._started = time.monotonic()

    def advance(self, clips: float) -> None:
        self._done += clips
        now = time.monotonic()
        if self._console and (now - self._last > PLAIN_SECONDS or self._done > self._total - 1e-6):
            self._last = now
            speed = (self._done - self._before) / max(now - self._started, 1e-6)
            left = (self._total - self._done) / speed if speed else 0
            self._console.print(f"{int(self._done + 1e-6)}/{self._total} clips, {speed:.2f} clips/s, {left:.0f} s left")


def show_summary(summary: Summary, console: Console, seconds: float) -> None:
    """How a run ended, in a few lines."""
    counts = summary.outcomes
    parts = [f"[bold]{counts.get(Outcome.DONE, 0)} done[/bold]"]
    coarse_only = (Outcome.NO_GROUND, Outcome.REJECTED, Outcome.REFUSED, Outcome.TRUNCATED)
    parts += [f"{counts[outcome]} {outcome.replace('_', ' ')}" for outcome in coarse_only if counts.get(outcome)]
    parts += [f"{counts.get(outcome, 0)} {outcome}" for outcome in (Outcome.SKIPPED, Outcome.FAILED)]
    if summary.unfinished:
        parts.append(f"{summary.unfinished} unfinished")
    before = summary.clips - summary.worked
    earlier = f", {before} of them by an earlier run" if before else ""
    console.print(f"{summary.clips} clips in {seconds:.0f} s: {', '.join(parts)}{earlier}")
    for name, reason in summary.problems[:SHOWN_PROBLEMS]:
        console.print(f"  failed: {name}: {reason}", markup=False, soft_wrap=True)
    if len(summary.problems) > SHOWN_PROBLEMS:
        console.print(f"  and {len(summary.problems) - SHOWN_PROBLEMS} more in dropped.jsonl")
    if summary.try_again:
        console.print(f"  {summary.try_again} clips failed for a reason that may pass; run the same command again")
    for remark in summary.remarks:
        console.print(f"  {remark}", markup=False, soft_wrap=True)
    labels = ", ".join(f"{label} {count}" for label, count in summary.labels.items()) or "none"
    console.print(f"records in {summary.out}/merr: {summary.coarse} coarse, {summary.fine} fine ({labels})")
    console.print(f"open {summary.out / 'report.html'} to look at them", soft_wrap=True)
