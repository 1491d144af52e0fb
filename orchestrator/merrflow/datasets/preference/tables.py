"""What came of a comparison, as tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from merrflow.core.errors import listed
from merrflow.datasets.preference.answers import By
from merrflow.datasets.preference.result import Comparison, Judged, Tally

_COLUMNS = ("", "B preferred", "95 % interval", "sign test p", "B", "A", "tie", "inconsistent", "open")
_NAMES = 200  # characters of the names of clips that only one run has


def show(found: Comparison, console: Console) -> None:
    """Prints all of it."""
    for line in _about(found):
        console.print(line, markup=False, soft_wrap=True)
    for one in found.judged:
        table = Table(*_COLUMNS, title=escape(one.name))
        table.add_row("all", *_cells(one.all))
        for label, part in one.labels.items():
            table.add_row(label, *_cells(part))
        console.print(table)
        for line in _notes(one):
            console.print(line, markup=False, soft_wrap=True)
    if not found.judged:
        console.print("nobody has answered yet" if found.asked else "all texts are the same: nobody is asked")


def _about(found: Comparison) -> Iterator[str]:
    matching = found.matching
    count = len(found.asked) + len(found.identical)
    yield f"A: {matching.a.out}; B: {matching.b.out}"
    yield f"{matching.a.kind}-grained texts of {count} clips compared; identical, so ties: {len(found.identical)}"
    for about, names in (
        ("clips only in A", matching.only_a),
        ("clips only in B", matching.only_b),
        ("without a text in A", matching.without_a),
        ("without a text in B", matching.without_b),
    ):
        if names:
            yield f"{about}: {len(names)} ({listed(names, _NAMES)})"
    if matching.copies:
        yield f"further copies of these clips: {matching.copies}; each clip is compared once"
    alone = sum(pair.clues.empty for pair in found.asked)
    if alone and any(one.by is By.MODEL for one in found.judged):
        yield f"pairs that a model judges by their texts alone, because the runs share no clue: {alone}"


def _notes(one: Judged) -> Iterator[str]:
    if one.swap.value is not None:
        yield f"same answer in both orders: {one.swap.value:.0%} of {one.swap.of}"
    if one.first.value is not None:
        yield f"the text shown first was preferred in {one.first.value:.0%} of {one.first.of} answers (no bias: 50 %)"
    if one.by is By.MODEL and one.all.inconsistent > one.all.answered / 2:
        yield "most answers changed with the order: this model prefers a place, not a text; its result says little"
    if one.with_people is not None and one.with_people.value is not None:
        yield f"the same preference as people: {one.with_people.value:.0%} of {one.with_people.of}"
    if one.by is By.PEOPLE:
        yield "answers: " + ", ".join(f"{name} {count}" for name, count in one.reviewers.items())
    for who, kappa in one.agreement.items():
        yield f"kappa of {who}: {'not defined' if kappa is None else f'{kappa:.2f}'}"


def _cells(one: Tally) -> tuple[str, ...]:
    counts = tuple(map(str, (one.b, one.a, one.ties, one.inconsistent, one.open)))
    if one.win_rate.value is None or one.p is None:
        return ("-", "-", "-", *counts)
    rate = one.win_rate
    return (f"{rate.value:.1%}", f"{rate.low:.1%} to {rate.high:.1%}", f"{one.p:.3g}", *counts)
