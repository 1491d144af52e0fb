"""A change between two runs: exactly what depends on it is computed again, of exactly the clips it is about."""

from __future__ import annotations

import shutil
import sqlite3
from collections import defaultdict
from pathlib import Path

import pytest

from merrflow.pipeline.open_session import open_session
from merrflow.pipeline.request import Request
from tests.orchestrator.fakes import calls, fake_services
from tests.orchestrator.pipeline.changes import ALL, CHANGES, DOCUMENT, Change, Inputs, renewed

SERVICE_OF = {
    "action_units": "openface-au",
    "scene": "minigpt-v2",
    "tone": "qwen-audio",
    "reasoning": "llama3",
    "subtitle_en": "translations",
}


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> Path:
    """A folder in which every case starts from the same first run, made when it is first asked for."""
    return tmp_path_factory.mktemp("first")


async def run(inputs: Inputs, addresses: dict[str, str]) -> None:
    clips = next(path for path in (inputs.clips, inputs.folder / "moved") if path.exists())
    request = Request(
        (str(clips),),
        str(inputs.folder / "out"),
        transcripts=str(inputs.sentences),
        labels=inputs.labels and str(inputs.labels),
        action_units=inputs.action_units and str(inputs.action_units),
        overrides=inputs.settings | addresses,
    )
    async with open_session(request) as session:
        await session.wait_ready()
        await session.annotate([clip.name for clip in session.todo])
        session.write_outputs()


def rows(inputs: Inputs) -> set[tuple[object, ...]]:
    with sqlite3.connect(inputs.folder / "out/ledger.db") as db:
        found = db.execute("SELECT clip, stage, fingerprint, attempts, finished_at FROM stages").fetchall()
    db.close()
    return set(found)


async def start(inputs: Inputs, kept: Path) -> None:
    """The first run, or what it left."""
    inputs.make()
    if not kept.exists():
        async with fake_services() as addresses:
            await run(inputs, addresses)
        shutil.copytree(inputs.folder, kept)
        return
    shutil.rmtree(inputs.folder)
    shutil.copytree(kept, inputs.folder)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.what)
async def test_a_change_computes_exactly_what_depends_on_it_again(first, change: Change):
    shutil.rmtree(first / "work", ignore_errors=True)
    (first / "work").mkdir()
    inputs = Inputs(first / "work")
    await start(inputs, first / "kept")
    before = rows(inputs)
    change.apply(inputs)
    again = defaultdict(list)
    async with fake_services(**inputs.engines) as addresses:
        await run(inputs, addresses)
        done = calls.copy()
    for clip, stage, *_ in rows(inputs) - before:
        again[clip].append(stage)
    order = [*ALL.split()[:-1], "subtitle_en", "score_face", "score_voice", "score_words", "record"]
    found = {clip: " ".join(sorted(stages, key=order.index)) for clip, stages in again.items()}
    expected = {
        clip: " ".join(sorted(stages.split(), key=order.index)) for clip, stages in change.again.items() if stages
    }
    assert found == expected
    for stage, service in SERVICE_OF.items():
        asked = (
            0 if stage == "action_units" and inputs.action_units else sum(stage in names for names in again.values())
        )
        assert done[service] == asked, "each of them costs one call, and nothing else does"


def test_the_table_in_the_docs_is_this_one():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert renewed(text) == text, "run `python -m tests.orchestrator.pipeline.changes`"
