"""What must hold after any fault: one outcome per clip, nothing finished is done again, every output is whole."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import av

from merrflow.core.records import Outcome
from merrflow.store import RECORD, Ledger

STAGE_SERVICES = {
    "action_units": "openface-au",
    "scene": "minigpt-v2",
    "tone": "qwen-audio",
    "reasoning": "llama3",
    "score_all": "scores",
}


def open_ledger(out: Path, url: str = "") -> Ledger:
    return Ledger.in_folder(out, url, make=False)


def outcomes(out: Path, url: str = "") -> dict[str, tuple[str, str, bool]]:
    """Clip -> outcome, reason, whether the next run tries again."""
    ledger = open_ledger(out, url)
    try:
        return {row.clip.name: (str(row.outcome or ""), row.reason, row.retry) for row in ledger.clips()}
    finally:
        ledger.close()


def finished_work(out: Path, url: str = "") -> set[tuple[str, str]]:
    """(service, clip) of every engine's answer that the ledger holds."""
    ledger = open_ledger(out, url)
    try:
        stored = ledger.rows() if hasattr(ledger, "rows") else _rows(ledger)
        return {
            (STAGE_SERVICES[stage], clip)
            for clip, stage, outcome in stored
            if stage in STAGE_SERVICES and outcome != Outcome.FAILED
        }
    finally:
        ledger.close()


def _rows(ledger: Ledger) -> list[tuple[str, str, str]]:
    import sqlalchemy as sa

    with ledger._engine.connect() as db:
        return [tuple(row) for row in db.execute(sa.text("SELECT clip, stage, outcome FROM stages"))]


def assert_nothing_done_again(finished: Iterable[tuple[str, str]], calls: Counter[tuple[str, str]]) -> None:
    """finished: what the ledger held when a run began; calls: of the engines since then."""
    again = {work: calls[work] for work in finished if calls[work]}
    assert not again, f"finished work was done again: {again}"


def assert_whole(out: Path, names: Iterable[str], url: str = "") -> dict[str, tuple[str, str, bool]]:
    """Every clip came to one outcome, every output file is whole, and they tell of the same clips."""
    names = set(names)
    found = outcomes(out, url)
    assert set(found) == names
    open_ends = [name for name, (outcome, _, _) in found.items() if not outcome]
    assert not open_ends, f"no outcome: {open_ends}"
    rows: dict[str, list[str]] = {"records": [], "dropped": []}
    for path in out.rglob("*.json"):
        json.loads(path.read_text())
    for path in out.rglob("*.jsonl"):
        parsed = [json.loads(line) for line in path.read_text().splitlines()]
        if path.parent == out and path.stem in rows:
            rows[path.stem] = [row["name"] for row in parsed]
    records = Counter(rows["records"])
    assert set(records.values()) <= {1} and set(Counter(rows["dropped"]).values()) <= {1}
    assert set(records) == {name for name, (outcome, _, _) in found.items() if outcome in ("done", "truncated")} | {
        name for name in records if name in rows["dropped"]
    }
    assert set(records) | set(rows["dropped"]) == names
    for name in records:
        with av.open(str(out / f"peaks/{name}.jpg")) as picture:
            assert next(picture.decode(video=0)).width > 0
    assert "</html>" in (out / "report.html").read_text()[-200:]
    left = [path for path in out.rglob("*") if path.suffix in (".part", ".tmp") or path.name.startswith("tmp")]
    assert not left, f"half-written files are left: {left}"
    _assert_records_are_read(out, records, url)
    return found


def _assert_records_are_read(out: Path, records: Iterable[str], url: str) -> None:
    ledger = open_ledger(out, url)
    try:
        assert {name for name, row in ledger.records() if json.loads(row.payload)} == set(records), RECORD
    finally:
        ledger.close()
