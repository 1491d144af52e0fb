"""Writes `report.html`: everything is inside one file, nothing is fetched, and only its own script can run."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from merrflow.core.atomic_files import whole_text
from merrflow.core.version import __version__
from merrflow.datasets.entries import RECORDS, Entry
from merrflow.datasets.pages import asset, policy, templates
from merrflow.datasets.pictures import FOLDER, Pictures
from merrflow.datasets.report import chart
from merrflow.datasets.report.card import Card, card, measured, plural, short_revision, words
from merrflow.datasets.report.survey import MAX_ROWS, OUTCOMES, Survey, survey
from merrflow.store import RECORD, Ledger

PACKAGE = "merrflow.datasets.report"
NAME = "report.html"
LARGE, SMALL = 480, 320  # pixels of a picture's longest side: in a small report, in a large one
SMALL_REPORT = 100  # cards
FEW = 30  # cards; a browser draws more of them only when they come into view


def write_report(ledger: Ledger, out: Path, seen: Survey | None = None) -> Path:
    """Writes `out/report.html` from the ledger and `out/peaks/*.jpg`, and returns its path. Blocking.

    Any number of clips: the page is written piece by piece, at most `survey.MAX_CARDS` records are shown in full and
    `MAX_ROWS` in a line each. The file takes its place only when it is whole. `seen`: a survey of the same ledger,
    if one was made already. Raises `OSError`.
    """
    seen = seen or survey(ledger)
    path = out / NAME
    template = _environment().get_template("template.html.j2")
    style, script = asset(PACKAGE, "style.css"), asset(PACKAGE, "filters.js")
    pieces = template.generate(
        title=out.resolve().name,
        version=__version__,
        style=Markup(style),
        script=Markup(script),
        policy=policy(style, script),
        survey=seen,
        cards=_cards(ledger, seen, out),
        outcomes=OUTCOMES,
        few=FEW,
        max_rows=MAX_ROWS,
        chart=chart,
    )
    with whole_text(path) as file:
        for piece in pieces:
            file.write(piece)
    return path


def _cards(ledger: Ledger, seen: Survey, out: Path) -> Iterator[Card]:
    pictures = Pictures(out / FOLDER)
    longest = LARGE if len(seen.carded) <= SMALL_REPORT else SMALL
    for name, fingerprint in seen.carded:
        row = ledger.stage(name, RECORD, fingerprint)
        if row and row.payload:  # else a run that goes on has replaced it since the survey
            yield card(Entry(RECORDS.validate_json(row.payload), row.outcome, row.reason), pictures, longest)


@cache  # with the template, which takes 20 ms to compile
def _environment() -> Environment:
    environment = templates(PACKAGE)
    environment.filters.update(words=words, measured=measured, short=short_revision)
    environment.globals.update(plural=plural)
    return environment
