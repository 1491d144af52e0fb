"""A run in phases against real gRPC servers: the same records as all at once, each service asked as often."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from merrflow.core.errors import InputError
from merrflow.datasets.outputs import Summary
from merrflow.pipeline import open_session as sessions
from merrflow.pipeline.gpu_phases import open_sharing
from merrflow.pipeline.gpu_phases.setup import FOUND_FILE
from merrflow.pipeline.open_session import open_session
from merrflow.pipeline.request import Request
from merrflow_serving.catalog import SERVICES
from merrflow_serving.engine import Endpoint, Reach
from tests.orchestrator import fakes
from tests.orchestrator.fakes import fake_services, make_video
from tests.orchestrator.pipeline.gpu_phases.project import GIB, SIZES, FakeProject, free_ports
from tests.records import without_times


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(3):
        make_video(folder / f"smile{number}.mp4", "red", seed=number)
    make_video(folder / "mute.mp4", "red", seed=9, sound=False)
    make_video(folder / "nobody.mp4", "blue")
    make_video(folder / "rest.mp4", "grey")
    (folder / "broken.mp4").write_bytes(b"no video")
    return folder


@pytest.fixture
async def project(monkeypatch):
    found = FakeProject(free_ports())
    monkeypatch.setattr(sessions, "open_sharing", partial(open_sharing, project=found))
    fakes.calls.clear()
    yield found
    await found.close()


class Killed(Exception):
    """Stands for the process's end."""


async def in_turns(clips: Path, out: Path, *, rounds: int = 100, memory: int = 0, **settings: Any) -> Summary:
    """A run in phases; killed before its round number `rounds` (the look is number 0)."""
    request = Request(
        (str(clips),), str(out), overrides={"neutral_sample": 0.0} | settings,
        gpu_sharing="sequential", gpu_memory=memory,
    )  # fmt: skip
    async with open_session(request) as session:
        in_turns.advanced = 0.0
        session.advanced.connect(lambda clips: setattr(in_turns, "advanced", in_turns.advanced + clips))
        number = 0
        async for one in session.rounds():
            if number == rounds:
                raise Killed
            await session.annotate(one.names, one.absent)
            number += 1
        return await asyncio.to_thread(session.write_outputs)


async def all_at_once(clips: Path, out: Path, **settings: Any) -> Counter[str]:
    """A usual run; how often each service was asked."""
    async with fake_services() as addresses:
        request = Request((str(clips),), str(out), overrides={"neutral_sample": 0.0} | addresses | settings)
        async with open_session(request) as session:
            await session.wait_ready()
            await session.annotate([clip.name for clip in session.todo])
            await asyncio.to_thread(session.write_outputs)
        return Counter(fakes.calls)


def timeless(out: Path) -> dict[str, Any]:
    """The outcomes and records without times."""
    found = {}
    for file in ("records.jsonl", "dropped.jsonl"):
        for line in (out / file).read_text().splitlines():
            record = json.loads(line)
            found[file, record["name"]] = without_times(record)
    return found


@pytest.mark.parametrize(
    ("settings", "done"),
    [({}, 4), ({"labels_from": "model", "label_scores": "modalities"}, 5)],  # the model labels a neutral face too
    ids=["rules", "model"],
)
async def test_phases_give_what_a_usual_run_gives_and_ask_as_often(clips, tmp_path, project, settings, done):
    summary = await in_turns(clips, tmp_path / "turns", **settings)
    asked = +Counter(fakes.calls)
    assert project.log == [
        "+minigpt-v2", "+openface-au", "-minigpt-v2", "+qwen-audio", "-qwen-audio", "+llama3",
        "-llama3", "-openface-au",
    ]  # fmt: skip
    assert all(len(together - {"openface-au"}) == 1 for together in project.most if together != {"openface-au"})
    assert summary.complete and summary.outcomes == {"done": done, "skipped": 6 - done, "failed": 1}
    assert in_turns.advanced == pytest.approx(7.0), "each clip went its whole way"
    assert asked == await all_at_once(clips, tmp_path / "once", **settings)
    assert timeless(tmp_path / "turns") == timeless(tmp_path / "once")
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "turns/peaks").glob("*.jpg")}
    assert len(pictures) == done
    assert pictures == {path.name: path.read_bytes() for path in (tmp_path / "once/peaks").glob("*.jpg")}


@pytest.mark.parametrize("stopped_before", [1, 2, 3])
async def test_a_run_stopped_between_phases_goes_on_and_starts_only_what_lacks(
    clips, tmp_path, project, stopped_before
):
    out = tmp_path / "out"
    with pytest.raises(Killed):
        await in_turns(clips, out, rounds=stopped_before)
    assert not project.running(), "put back as found"
    before = len(project.log)
    summary = await in_turns(clips, out)
    asked = +Counter(fakes.calls)
    assert summary.complete and summary.outcomes == {"done": 4, "skipped": 2, "failed": 1}
    started = [name[1:] for name in project.log[before:] if name.startswith("+")]
    order = ["minigpt-v2", "qwen-audio", "llama3"]
    assert [name for name in started if name != "openface-au"] == order[stopped_before - 1 :]
    assert ("openface-au" in started) == (stopped_before == 1), "what waits for a later stage needs no faces"
    assert asked == await all_at_once(clips, tmp_path / "once")
    before = len(project.log)
    assert (await in_turns(clips, out)).worked == 0
    assert project.log[before:] == [], "nothing to do starts nothing"


class ElsewhereReasoner(fakes.FakeReasoner):
    """Its model is at a public address."""

    def endpoint(self) -> Endpoint:
        return Endpoint("models.example", Reach.PUBLIC)


async def test_a_phase_sends_nothing_to_a_public_address_unless_it_is_allowed_and_says_so(
    clips, tmp_path, monkeypatch, caplog
):
    project = FakeProject(free_ports(), llama3=ElsewhereReasoner)
    monkeypatch.setattr(sessions, "open_sharing", partial(open_sharing, project=project))
    fakes.calls.clear()
    said = f"llama3 sends {SERVICES['llama3'].takes} to models.example (a public address)"
    with pytest.raises(InputError, match=rf"{re.escape(said)}.*--allow-remote"):
        await in_turns(clips, tmp_path / "out")
    assert fakes.calls["llama3"] <= 0 < fakes.calls["minigpt-v2"]
    summary = await in_turns(clips, tmp_path / "out", allow_remote=True)
    assert summary.complete and summary.outcomes["done"] == 4
    assert caplog.text.count(said) == 1


async def test_services_that_fit_share_a_phase(clips, tmp_path, project):
    await in_turns(clips, tmp_path / "out", memory=40 * GIB)
    assert [word for word in project.log if "openface" not in word] == [
        "+minigpt-v2", "+qwen-audio", "-minigpt-v2", "-qwen-audio", "+llama3", "-llama3",
    ]  # fmt: skip


async def test_a_clip_that_comes_later_takes_the_phases_it_needs(clips, tmp_path, project):
    folder = tmp_path / "clips"
    folder.mkdir()
    for clip in clips.glob("smile*"):
        (folder / clip.name).symlink_to(clip)
    await in_turns(folder, tmp_path / "out")
    fakes.calls.clear()
    make_video(folder / "new.mp4", "red", seed=77)
    summary = await in_turns(folder, tmp_path / "out")
    assert summary.worked == 1 and summary.outcomes == {"done": 4}
    assert fakes.calls["minigpt-v2"] == fakes.calls["qwen-audio"] == fakes.calls["openface-au"] == 1


async def test_a_newer_model_redoes_its_phase_alone(clips, tmp_path, project, monkeypatch):
    await in_turns(clips, tmp_path / "out")
    newer = FakeProject(free_ports(), llama3=fakes.NewerReasoner)
    monkeypatch.setattr(sessions, "open_sharing", partial(open_sharing, project=newer))
    summary = await in_turns(clips, tmp_path / "out")
    assert summary.complete
    assert newer.log == ["+llama3", "-llama3"]


async def test_what_ran_before_runs_afterwards_also_after_a_kill(clips, tmp_path, project):
    await asyncio.to_thread(project.start, ["llama3"])
    out = tmp_path / "out"
    out.mkdir()
    await in_turns(clips, out)
    assert project.running() == {"llama3"}
    assert not (out / FOUND_FILE).exists()
    # A killed run left llama3 stopped, and a note of what it had found.
    await asyncio.to_thread(project.stop, ["llama3"])
    (out / FOUND_FILE).write_text('["llama3"]')
    make_video(tmp_path / "more/one.mp4", "red", seed=50)
    await in_turns(tmp_path / "more", out)
    assert project.running() == {"llama3"}
    # The same where nothing is left to do.
    await asyncio.to_thread(project.stop, ["llama3"])
    (out / FOUND_FILE).write_text('["llama3"]')
    assert (await in_turns(clips, out)).worked == 0
    assert project.running() == {"llama3"} and not (out / FOUND_FILE).exists()


async def test_a_service_that_fails_a_clip_costs_that_clip_alone(clips, tmp_path, project):
    from merrflow_serving.errors import EngineFault

    project.stumbles["qwen-audio"] = EngineFault("the model stumbled")
    summary = await in_turns(clips, tmp_path / "out")
    assert summary.outcomes == {"done": 1, "failed": 4, "skipped": 2} and summary.try_again == 3
    project.stumbles.clear()
    summary = await in_turns(clips, tmp_path / "out")
    assert summary.complete and summary.outcomes == {"done": 4, "failed": 1, "skipped": 2}


async def test_a_container_that_ends_stops_the_run_with_its_reason_and_restores(clips, tmp_path, project):
    project.trouble_of["qwen-audio"] = "the container x ended (exit code 2); it said last: no weights"
    with pytest.raises(InputError, match="qwen-audio did not start: .*no weights"):
        await in_turns(clips, tmp_path / "out", ready_seconds=30)
    assert not {"minigpt-v2", "llama3", "openface-au"} & project.running()


async def test_a_service_that_is_not_the_planned_one_is_refused(clips, tmp_path, monkeypatch):
    ports = free_ports()
    planned = FakeProject(ports)
    other = FakeProject(ports, minigpt_v2=Other)
    planned._start = other._start
    planned.servers = other.servers
    monkeypatch.setattr(sessions, "open_sharing", partial(open_sharing, project=planned))
    try:
        with pytest.raises(InputError, match="minigpt-v2 runs fake fake-minigpt-v2 other, and its container is set to"):
            await in_turns(clips, tmp_path / "out")
    finally:
        await planned.close()


class Other(fakes.FakeScene):
    revision = "other"


async def test_too_large_a_model_is_said_before_anything_starts(clips, tmp_path, project):
    with pytest.raises(InputError, match="qwen-audio needs 18.0 GiB of GPU memory by itself and there are 15.5 GiB"):
        await in_turns(clips, tmp_path / "out", memory=16 * GIB)
    assert project.log == []


async def test_a_card_that_nobody_sees_must_be_told(clips, tmp_path, monkeypatch):
    blind = FakeProject(free_ports(), card=0)
    monkeypatch.setattr(sessions, "open_sharing", partial(open_sharing, project=blind))
    with pytest.raises(InputError, match="--gpu-memory 24GiB"):
        await in_turns(clips, tmp_path / "out")
    assert SIZES["llama3"] and blind.log == []
