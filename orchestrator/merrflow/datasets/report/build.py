"""Writes `report.html`: everything inside one file, nothing fetched, nothing in it that could run but its own script.

The text in it comes from models, file names and subtitles and is not trusted: Jinja escapes all of it, and the
page's Content-Security-Policy allows one script and one style sheet, each by its hash, and no connection at all.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from merrflow.core.atomic_files import whole_text
from merrflow.core.version import __version__
from merrflow.datasets.entries import RECORDS, Entry
from merrflow.datasets.report import chart
from merrflow.datasets.report.card import Card, card, measured, plural, short_revision, words
from merrflow.datasets.report.survey import MAX_ROWS, OUTCOMES, Survey, survey
from merrflow.store import RECORD, Ledger

NAME = "report.html"
LARGE, SMALL = 480, 320  # pixels of a picture's longest side: in a small report, in a large one
SMALL_REPORT = 100  # cards
FEW = 30  # cards; a browser draws more of them only when they come into view


def write_report(ledger: Ledger, out: Path, seen: Survey | None = None) -> Path:
    """Writes `out/report.html` from the ledger and `out/peaks/*.jpg`, and returns its path. Blocking.

    Any number of clips: the page is written piece by piece, at most `survey.MAX_CARDS` records are shown in full and
    `MAX_ROWS` in a line each. The file takes its place only when it is whole. `seen`: a survey of the same ledger,
    where one was made already. Raises `OSError`.
    """
    seen = seen or survey(ledger)
    path = out / NAME
    template = _environment().get_template("template.html.j2")
    style, script = _asset("style.css"), _asset("filters.js")
    pieces = template.generate(
        title=out.resolve().name,
        version=__version__,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(style, script),
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
    longest = LARGE if len(seen.carded) <= SMALL_REPORT else SMALL
    for name, fingerprint in seen.carded:
        row = ledger.stage(name, RECORD, fingerprint)
        if row and row.payload:  # else a run that goes on has replaced it since the survey
            yield card(Entry(RECORDS.validate_json(row.payload), row.outcome, row.reason), out, longest)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("merrflow.datasets.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"words": words, "measured": measured, "short": short_revision}
    environment.globals["plural"] = plural
    return environment


def _asset(name: str) -> str:
    return (files("merrflow.datasets.report") / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    return (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
