"""Rows of a ledger that cannot be parsed: each costs only itself, in a run and in all that reads the ledger."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import merrflow
from merrflow.cli.status import read_status
from merrflow.datasets.mining.rank import mine
from merrflow.datasets.outputs import Summary, write_outputs
from merrflow.facs import load_rules
from merrflow.pipeline.open_session import open_session
from merrflow.pipeline.request import Request
from merrflow.store import Ledger, PackedRow, existing_ledger
from merrflow.store.tables import ROWS_VERSION
from tests.faults.conftest import make_clips
from tests.faults.processes_checks import assert_whole, open_ledger
from tests.orchestrator.fakes import calls, fake_services

NAMES = [f"c{number}" for number in range(4)]


def packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value).encode())


# What becomes of a row: (column, of the old payload's JSON its new value)
DAMAGE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "other bytes": ("payload", lambda old: b"\x28\xb5\x2f\xfd not zlib"),
    "cut off": ("payload", lambda old: packed(old)[:-20]),
    "text": ("payload", lambda old: "text where bytes should be"),
    "no JSON": ("payload", lambda old: zlib.compress(b"{ no JSON")),
    "another type": ("payload", lambda old: packed([1, 2, 3])),
    "of an older version": ("payload", lambda old: packed({name: old[name] for name in list(old)[1:]})),
    "an unknown outcome": ("outcome", lambda old: "postponed"),
    "a time that is none": ("finished_at", lambda old: "yesterday"),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), NAMES)


@pytest.fixture(scope="module")
def annotated(clips, tmp_path_factory) -> Path:
    """The folder of a finished run, of which each test damages a copy."""
    out = tmp_path_factory.mktemp("annotated") / "out"
    asyncio.run(annotate(clips, out))
    return out


@pytest.fixture
def out(annotated, tmp_path) -> Path:
    return Path(shutil.copytree(annotated, tmp_path / "out"))


async def annotate(clips: Path, out: Path, **settings: object) -> Summary:
    async with fake_services() as addresses:
        values = {"label_scores": "none", "neutral_sample": 0.0} | addresses | settings
        async with open_session(Request((str(clips),), str(out), overrides=values)) as session:
            await session.annotate([clip.name for clip in session.todo])
            return session.write_outputs()


def change(out: Path, clip: str, stage: str, column: str, new: Callable[[Any], Any], url: str = "") -> None:
    """Changes one column of the newest row of a clip's stage. new: from the JSON of its payload."""
    where = "clip = :clip AND stage = :stage"
    values = {"clip": clip, "stage": stage}
    ledger = open_ledger(out, url)
    with ledger._engine.begin() as db:
        payload = db.scalar(sa.text(f"SELECT payload FROM stages WHERE {where}"), values)
        value = new(json.loads(zlib.decompress(payload)))
        db.execute(sa.text(f"UPDATE stages SET {column} = :value WHERE {where}"), values | {"value": value})
    ledger.close()


def stage_rows(ledger: Ledger, clip: str) -> dict[tuple[str, str], PackedRow]:
    return ledger.stages(ledger.named([clip])[0])


def read_all(out: Path) -> None:
    """All that reads a ledger, except for a run."""
    ledger = existing_ledger(out)
    write_outputs(ledger, out)
    mine(ledger, "happy", load_rules("default"))
    ledger.close()
    read_status(out)
    with merrflow.open(out) as dataset:
        list(dataset)
        dataset.missing()
        dataset.curate()
        for format in ("huggingface", "sharegpt"):
            dataset.export(format)


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_record_that_cannot_be_parsed_is_left_out_and_made_again(out, clips, damage, caplog):
    change(out, "c1", "record", *DAMAGE[damage])
    caplog.set_level(logging.WARNING, "merrflow")
    read_all(out)
    names = sorted(json.loads((out / "merr/MERR_fine_grained.json").read_text()))
    if damage == "a time that is none":
        assert names == NAMES, "it only orders rows"
        return
    assert names == ["c0", "c2", "c3"]
    assert len(caplog.records) == 2 and "left out: 1" in caplog.text and "c1" in caplog.text and "run" in caplog.text
    summary = await annotate(clips, out)
    assert (summary.outcomes, summary.worked, summary.complete) == ({"done": 4}, 1, True)
    assert not +calls, "its stages are known"
    assert_whole(out, NAMES)


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_stage_that_cannot_be_parsed_is_computed_again(out, clips, damage, caplog):
    for clip, stage in (("c1", "tone"), ("c2", "action_units"), ("c3", "action_units")):
        change(out, clip, stage, *DAMAGE[damage])
    read_all(out)
    caplog.clear()
    caplog.set_level(logging.WARNING, "merrflow")
    summary = await annotate(clips, out, neutral_sample=0.5)  # which makes all records anew
    assert (summary.outcomes, summary.worked, summary.complete) == ({"done": 4}, 4, True)
    found = {name: count for name, count in calls.items() if count}
    again = {} if damage == "a time that is none" else {"qwen-audio": 1, "openface-au": 2}
    assert found == again
    assert len(caplog.records) <= 2, "once a stage"
    assert_whole(out, NAMES)


async def test_rows_of_a_newer_merrflow_are_left_alone(out, clips, caplog):
    for clip, stage in (("c1", "record"), ("c2", "tone")):
        change(out, clip, stage, "schema_version", lambda old: ROWS_VERSION + 1)
    ledger = open_ledger(out)
    before = stage_rows(ledger, "c1") | stage_rows(ledger, "c2")
    caplog.set_level(logging.WARNING, "merrflow")
    read_all(out)
    assert "update merrflow" in caplog.text and "run again" not in caplog.text
    assert sorted(json.loads((out / "merr/MERR_fine_grained.json").read_text())) == ["c0", "c2", "c3"]
    assert (await annotate(clips, out)).worked == 0, "the newer merrflow has done it"
    assert (await annotate(clips, out, neutral_sample=0.5)).outcomes == {"done": 4}
    assert +calls == {"qwen-audio": 1}, "what cannot be used is computed, and not stored over what is there"
    after = stage_rows(ledger, "c1") | stage_rows(ledger, "c2")
    ledger.close()
    newer_rows = {key: row for key, row in before.items() if row.schema_version > ROWS_VERSION}
    assert len(newer_rows) == 2 and {key: after[key] for key in newer_rows} == newer_rows


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_ledger_without_versions_is_continued_as_it_is(tmp_path, clips, kind, request):
    out, ledger_url = tmp_path / "out", request.getfixturevalue("postgres_url") if kind == "postgresql" else ""
    await annotate(clips, out, ledger_url=ledger_url)
    ledger = open_ledger(out, ledger_url)
    with ledger._engine.begin() as db:
        db.execute(sa.text("ALTER TABLE stages DROP COLUMN schema_version"))
    ledger.close()
    summary = await annotate(clips, out, ledger_url=ledger_url)
    assert (summary.worked, summary.outcomes) == (0, {"done": 4})
    assert (await annotate(clips, out, ledger_url=ledger_url, neutral_sample=0.5)).worked == 4
    assert not +calls
