"""With given Action Units a clip is decoded once; what cannot be foreseen is read again, and the result is the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from merrflow.formats.precomputed import PrecomputedUnits
from merrflow.pipeline import concurrency
from merrflow.pipeline import open_session as opening
from merrflow.pipeline.open_session import open_session
from merrflow.pipeline.pause import Paused
from merrflow.pipeline.request import Request
from merrflow.stages import foreseen, peak_frame
from merrflow.stages.held import Held
from merrflow_serving.media.video import VideoFrame
from tests.orchestrator.fakes import fake_services, make_video
from tests.orchestrator.formats.test_precomputed import annotate, openface, records
from tests.orchestrator.stages.odd_films import film

ROOM = concurrency.FRAME_BYTES


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was read, in order."""
    found: list[str] = []

    def noted(owner: Any, name: str, what: str) -> None:
        plain = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given, **more: found.append(what) or plain(*given, **more))

    noted(peak_frame, "read_frames", "clip again")
    noted(PrecomputedUnits, "read", "csv")
    return found


async def outputs(place: Path, units: Path, room: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, dict[str, bytes]]:
    """The records without their times, and the pictures."""
    monkeypatch.setattr(concurrency, "FRAME_BYTES", room)
    out = place / f"out{room}"
    async with fake_services() as addresses:
        await annotate([place / "clips"], out, addresses, action_units=units)
    found = records(out)
    for record in found.values():
        record.pop("seconds")
        for origin in record["origins"].values():
            origin["queue_seconds"] = origin["model_seconds"] = 0.0
    return found, {path.name: path.read_bytes() for path in sorted((out / "peaks").iterdir())}


def has_all_its_room(held: Held[VideoFrame]) -> bool:
    held.begin("all of it")
    held.add("all of it", VideoFrame(0, 0.0, None), ROOM)  # type: ignore[arg-type]
    return bool(held.take("all of it"))


async def test_a_clip_is_decoded_once_and_its_csv_read_once(tmp_path, done, monkeypatch):
    make_video(tmp_path / "clips/a.mp4", "grey", frames=40)
    openface(tmp_path / "au/a.csv", frames=40)
    one = await outputs(tmp_path, tmp_path / "au", ROOM, monkeypatch)
    assert done == ["csv"] and one[0]["a"]["peak"]["index"] == 7
    done.clear()
    without = await outputs(tmp_path, tmp_path / "au", 0, monkeypatch)
    assert done == ["csv", "clip again"] and one == without and one[1]


async def test_merrs_json_names_the_frame(tmp_path, done, monkeypatch):
    make_video(tmp_path / "clips/a.mp4", "blue")
    one = {"peak_index": "3", "peak_AU_list": ["AU06", "AU12"]}
    (tmp_path / "merr.json").write_text(json.dumps({"a": one}))
    found, pictures = await outputs(tmp_path, tmp_path / "merr.json", ROOM, monkeypatch)
    assert done == [] and found["a"]["peak"]["index"] == 3 and pictures


async def test_a_peak_that_a_cut_moves_is_read_again(tmp_path, done, monkeypatch):
    """The smile is highest beside the cut, which only the decoding finds."""
    (tmp_path / "clips").mkdir()
    scenes = np.random.default_rng(1).integers(0, 255, (2, 64, 96, 3), np.uint8)
    film(tmp_path / "clips/a.mp4", (scenes[int(number >= 7)] for number in range(40)))
    openface(tmp_path / "au/a.csv", frames=40)
    one = await outputs(tmp_path, tmp_path / "au", ROOM, monkeypatch)
    assert [shot["start"] for shot in one[0]["a"]["probe"]["shots"]] == [0, 7]
    assert one[0]["a"]["peak"]["index"] != 7 and done == ["csv", "clip again"]
    assert one == await outputs(tmp_path, tmp_path / "au", 0, monkeypatch)


async def test_a_clip_whose_header_promises_other_times_has_its_own(tmp_path, done, monkeypatch):
    times = [0.0, 0.04, 0.08, 0.5, 0.54, 1.2, 1.24, 2.0, 2.04, 2.08, 2.12, 2.16]
    (tmp_path / "clips").mkdir()
    pictures = (np.full((64, 96, 3), 20 * number, np.uint8) for number in range(12))
    film(tmp_path / "clips/a.mkv", pictures, times=times.__getitem__)
    openface(tmp_path / "au/a.csv")
    found, _ = await outputs(tmp_path, tmp_path / "au", ROOM, monkeypatch)
    assert found["a"]["peak"]["timestamp"] == 2.0 and done[:2] == ["csv", "csv"]


async def test_a_csv_that_changes_while_its_clip_is_decoded_counts_as_it_is_then(tmp_path, done, monkeypatch):
    make_video(tmp_path / "clips/a.mp4", "grey")
    openface(tmp_path / "au/a.csv", AU12_r=1.0)
    given = foreseen.Foresight.given

    def changed(*arguments: Any) -> Any:
        found = given(*arguments)
        openface(tmp_path / "au/a.csv", AU12_r=4.0)
        return found

    monkeypatch.setattr(foreseen.Foresight, "given", changed)
    found, _ = await outputs(tmp_path, tmp_path / "au", ROOM, monkeypatch)
    assert found["a"]["peak"]["intensity"]["AU12"] == 4.0 and done == ["csv", "csv"]


async def test_nothing_is_held_of_clips_that_end(tmp_path, monkeypatch):
    """Whether with a record, without an expression, or because their sound is refused."""
    held: Held[VideoFrame] = Held(ROOM)
    monkeypatch.setattr(opening, "held_frames", lambda: held)
    for number, name in enumerate(("smile", "rest", "cut")):
        make_video(tmp_path / f"clips/{name}.mp4", "grey", seed=number, frames=50)
    whole = (tmp_path / "clips/cut.mp4").read_bytes()
    (tmp_path / "clips/cut.mp4").write_bytes(whole[: len(whole) // 2])
    openface(tmp_path / "au/smile.csv", frames=50)
    openface(tmp_path / "au/rest.csv", frames=50, AU12_r=0.0, AU12_c=0, AU06_r=0.0, AU06_c=0)
    openface(tmp_path / "au/cut.csv", frames=50)
    async with fake_services() as addresses:
        summary = await annotate([tmp_path / "clips"], tmp_path / "out", addresses, action_units=tmp_path / "au")
    assert summary.outcomes == {"done": 1, "skipped": 1, "failed": 1}
    assert has_all_its_room(held)


async def test_nothing_is_held_of_a_clip_that_waits_for_a_service(tmp_path, monkeypatch):
    held: Held[VideoFrame] = Held(ROOM)
    monkeypatch.setattr(opening, "held_frames", lambda: held)
    make_video(tmp_path / "clips/a.mp4", "grey")
    openface(tmp_path / "au/a.csv")
    async with fake_services() as addresses:
        request = Request((str(tmp_path / "clips"),), str(tmp_path / "out"), action_units=str(tmp_path / "au"))
        async with open_session(replace(request, overrides=addresses)) as session:
            await session.wait_ready()
            assert session._engaged
            outcome = await session._engaged.pipeline.annotate(session.todo[0], frozenset({"minigpt-v2"}))
    assert isinstance(outcome, Paused) and has_all_its_room(held)
