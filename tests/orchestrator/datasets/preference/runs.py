"""Runs to compare: real ledgers over clips with the same bytes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from merrflow.core.inputs import Found
from merrflow.core.records import Outcome
from merrflow.core.texts import Reasoning
from merrflow.datasets.entries import RECORDS
from merrflow.datasets.preference.answers import Answer, Answers, By, Choice, Order
from merrflow.datasets.preference.pairs import Kind, Matching, match, read_run
from merrflow.store import Ledger, StageRow
from tests.orchestrator.datasets.report.runs import record
from tests.paths import ROOT

CLIP = ROOT / "examples/clips/good_news.mp4"


def run_with(
    out: Path,
    texts: Mapping[str, str | None],
    *,
    labels: Mapping[str, str] | None = None,
    bytes_of: Mapping[str, str] | None = None,
    outcome: Outcome = Outcome.DONE,
    video: bool = False,
    **changes: object,
) -> Path:
    """A run with these texts by the clip's name; None: no text. bytes_of: clips with the bytes of another name."""
    (out / "clips").mkdir(parents=True)
    for name in texts:
        path = out / "clips" / f"{name}.mp4"
        if video:
            shutil.copy(CLIP, path)
            with path.open("ab") as file:
                file.write(name.encode())  # after the end of the film: other bytes, the same film
        else:
            path.write_bytes((bytes_of or {}).get(name, name).encode())
    ledger = Ledger.in_folder(out)
    found = [Found(path) for path in sorted((out / "clips").iterdir())]
    for clip in ledger.register(found, {one.path: one.path.stem for one in found}):
        text = texts[clip.name]
        values = {"reasoning": None if text is None else Reasoning(text, 1, 10, 10)} | changes
        label = (labels or {}).get(clip.name, "happy")
        one = record(clip.name, label, sha256=clip.sha256, path=str(clip.path), **values)
        ledger.finish_clip(clip.name, "print", StageRow(outcome, "", RECORDS.dump_json(one), 1.0))
    ledger.close()
    return out


def numbered(texts: str, count: int) -> dict[str, str]:
    """clip_00 on, each with a text of its own."""
    return {f"clip_{n:02}": f"{texts} {n}" for n in range(count)}


def matched(a: Path, b: Path, kind: Kind = Kind.FINE) -> tuple[Matching, Ledger]:
    """Both runs, and B's ledger, which the caller closes."""
    first, second = Ledger.in_folder(a), Ledger.in_folder(b)
    try:
        return match(read_run(first, a, kind), read_run(second, b, kind)), second
    finally:
        first.close()


def said(answers: Answers, pair: str, choice: Choice, order: Order = Order.AB, who: str = "ann", by: By = By.PEOPLE):
    """An answer, straight into the ledger."""
    answers.keep(Answer(pair, by, who, order, choice), f"{pair}-{order}-{who}-{choice}")
