"""The `openface` engine through the real gRPC service, with a FeatureExtraction that does what a plan says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from merrflow.common.v1 import common_pb2, common_pb2_grpc
from merrflow.openface_au.v1 import openface_au_pb2 as pb
from merrflow.openface_au.v1 import openface_au_pb2_grpc as pb_grpc
from merrflow_openface_au import SPEC
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_serving.errors import from_rpc_error
from merrflow_serving.server import Server
from tests.services.openface_au.fake_openface import alive_below, calls, digest, install, replan
from tests.services.openface_au.videos import encode

FRAMES = 6


@dataclass(frozen=True)
class Running:
    """A service on a fake binary."""

    stub: pb_grpc.ActionUnitsStub
    engine: common_pb2_grpc.EngineStub
    server: Server
    binary: Path
    folder: Path  # where it makes its private folder

    async def all(self, *clips: bytes | Path) -> list[Any]:
        """Responses, or errors as clients see them, of requests that come at once."""

        async def one(clip: bytes | Path) -> Any:
            media = common_pb2.Media(data=clip) if isinstance(clip, bytes) else common_pb2.Media(path=str(clip))
            try:
                return await self.stub.Detect(pb.DetectRequest(video=media))
            except grpc.aio.AioRpcError as error:
                return from_rpc_error(error)

        return list(await asyncio.gather(*map(one, clips)))

    def groups(self) -> list[list[str]]:
        """The clips of each process, without the warm-up's."""
        return [call["clips"] for call in calls(self.binary)[1:]]


@asynccontextmanager
async def serving(tmp_path: Path, *, version: int = 2, plan: dict | None = None, **settings: Any):
    binary = install(tmp_path / "bin", version=version, plan=plan)
    folder = tmp_path / "tmp"
    folder.mkdir()
    options: dict[str, Any] = {"openface_processes": 1, "max_delay_ms": 300, "media_roots": [tmp_path]} | settings
    server = Server(
        SPEC,
        OpenFaceAuSettings(port=0, engine="openface", openface_binary=str(binary), openface_folder=folder, **options),
    )
    await server.start()
    await server.wait_ready()
    try:
        assert server.service.ready, server.service.problem
        async with grpc.aio.insecure_channel(server.address) as channel:
            stubs = pb_grpc.ActionUnitsStub(channel), common_pb2_grpc.EngineStub(channel)
            yield Running(*stubs, server, binary, folder)
            assert [path.name for path in folder.glob("*/*")] == ["lock"]  # nothing of a run is left
    finally:
        await server.stop()
    assert not list(folder.iterdir())


@pytest.fixture(scope="module")
def clips() -> list[bytes]:
    """Five clips, told apart by their grey."""
    return [encode([np.full((48, 64, 3), 40 * i, np.uint8)] * FRAMES) for i in range(5)]


@pytest.fixture
def service(tmp_path: Path) -> Callable[..., AsyncIterator[Running]]:
    return lambda **options: serving(tmp_path, **options)


def plan_for(clips: list[bytes], **what: dict[str, Any]) -> dict[str, Any]:
    """Every clip has its frames; `c2={"do": ...}` changes what happens with the third."""
    plan: dict[str, Any] = {digest(clip): {"frames": FRAMES} for clip in clips}
    for name, more in what.items():
        plan[digest(clips[int(name[1:])])] |= more
    return plan


@pytest.mark.parametrize("version", [1, 2])
async def test_several_clips_share_a_process(service, clips, version) -> None:
    async with service(version=version, plan=plan_for(clips)) as running:
        answers = await running.all(*clips)
        assert [len(answer.frames) for answer in answers] == [FRAMES] * 5
        assert all(not frame.faces for answer in answers for frame in answer.frames)  # success is 0
        assert [frame.index for frame in answers[0].frames] == list(range(FRAMES))
        assert [round(frame.timestamp_seconds, 3) for frame in answers[0].frames] == [0, 0.04, 0.08, 0.12, 0.16, 0.2]
        assert answers[0].fps == pytest.approx(25) and (answers[0].width, answers[0].height) == (64, 48)
        assert list(answers[0].action_units) == ["AU12"]
        assert sorted(clip for group in running.groups() for clip in group) == sorted(map(digest, clips))
        assert len(running.groups()) == 1


async def test_how_the_process_is_run(service, clips, monkeypatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/packages/cv2/../../lib64:/opt/libraries")  # as importing cv2 leaves it
    async with service(plan=plan_for(clips), openface_arguments="-wild", openface_nice=7) as running:
        await running.all(clips[0])
        call = calls(running.binary)[1]
        assert call["network"] is False
        assert call["nice"] >= 7
        assert call["cwd"].startswith(str(running.folder)) and call["env"]["HOME"] == call["cwd"]
        assert call["env"]["LC_ALL"] == "C" and "DISPLAY" not in call["env"]
        own = running.binary.parent.parent / "lib"
        assert call["env"]["LD_LIBRARY_PATH"] == f"{own}:/opt/libraries"
        arguments = call["arguments"]
        assert {"-q", "-aus", "-pose", "-2Dfp", "-wild"} <= set(arguments)
        assert arguments[arguments.index("-out_dir") + 1] == call["cwd"]
        assert arguments[-4] == "-f" and arguments[-2:] == ["-of", "clip-aa.csv"]
        engine = (await running.engine.Info(common_pb2.InfoRequest())).engine
        assert engine.engine == "openface" and engine.model == "OpenFace 2"
        assert "academic, non-commercial" in engine.licence
        assert engine.prompt_version.endswith("-wild")


async def test_paths_of_any_name_and_bytes_are_the_same(service, clips, tmp_path) -> None:
    async with service(plan=plan_for(clips)) as running:
        path = tmp_path / "-f a;b 片段 $(x).weird suffix"
        path.write_bytes(clips[1])
        by_path, by_bytes = await running.all(path, clips[1])
        assert list(by_path.frames) == list(by_bytes.frames) and len(by_path.frames) == FRAMES


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    ("what", "reason", "text"),
    [
        ({"do": "crash"}, "OPENFACE", "SIGSEGV: "),
        ({"do": "exit"}, "OPENFACE", "ended with 3: "),
        ({"do": "crash_late"}, "OPENFACE", "SIGABRT"),
        ({"do": "missing"}, "OPENFACE", "wrote no results"),
        ({"do": "half"}, "OPENFACE", "results cannot be used: CSV"),
        ({"frames": FRAMES + 9}, "OPENFACE", f"rows for {FRAMES + 9} frames, but the clip has {FRAMES}"),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_what_goes_wrong_with_a_clip_costs_that_clip(service, clips, version, what, reason, text) -> None:
    plan = plan_for(clips, c2=what) | {"*": what}  # also as it is written anew
    async with service(version=version, plan=plan_for(clips)) as running:
        replan(running.binary, plan)
        answers = await running.all(*clips)
        assert [len(answer.frames) for i, answer in enumerate(answers) if i != 2] == [FRAMES] * 4
        assert answers[2].code == grpc.StatusCode.INTERNAL and answers[2].reason == reason
        assert text in str(answers[2]) and str(running.folder) not in str(answers[2])
        blamed = sum(digest(clips[2]) in group for group in running.groups())
        assert blamed == 1  # the clip is not run a second time as it is


@pytest.mark.parametrize("version", [1, 2])
async def test_a_hang_is_killed_with_all_its_children(service, clips, version) -> None:
    plan = plan_for(clips, c1={"do": "hang"})
    limits = {"openface_start_seconds": 1.0, "openface_seconds_per_frame": 0.05}
    async with service(version=version, plan=plan, **limits) as running:
        answers = await running.all(*clips)
        assert [len(answer.frames) for i, answer in enumerate(answers) if i != 1] == [FRAMES] * 4
        assert answers[1].reason == "OPENFACE_TIMEOUT" and "stood still" in str(answers[1])
        assert not alive_below(running.folder)


@pytest.mark.parametrize("version", [1, 2])
async def test_what_openface_cannot_open_is_written_anew(service, clips, version) -> None:
    plan = plan_for(clips, c3={"do": "unopenable"}) | {"*": {"frames": FRAMES}}
    async with service(version=version) as running:
        replan(running.binary, plan)
        answers = await running.all(*clips)
        assert [len(answer.frames) for answer in answers] == [FRAMES] * 5
        replan(running.binary, plan | {"*": {"do": "unopenable"}})
        answers = await running.all(*clips[2:])
        assert [len(getattr(answer, "frames", ())) for answer in answers] == [FRAMES, 0, FRAMES]
        assert "Failed to open" in str(answers[1]) and str(running.folder) not in str(answers[1])


async def test_a_binary_that_says_nothing_is_judged_by_its_files(service, clips) -> None:
    plan = plan_for(clips, c2={"do": "crash"}) | {"silent": True}
    async with service(plan=plan) as running:
        answers = await running.all(*clips)
        assert sum(hasattr(answer, "frames") for answer in answers) >= 3
        assert not hasattr(answers[2], "frames")


async def test_a_binary_that_does_one_clip_at_a_time_gets_them_all_done(service, clips) -> None:
    async with service(plan=plan_for(clips) | {"first_only": True}) as running:
        assert [len(answer.frames) for answer in await running.all(*clips)] == [FRAMES] * 5
        assert len(running.groups()) == 5


@pytest.mark.parametrize("ignored", ["-of", "-out_dir"])
async def test_results_are_found_where_an_option_is_not_known(service, clips, ignored) -> None:
    async with service(plan=plan_for(clips) | {"ignores": [ignored]}) as running:
        assert [len(answer.frames) for answer in await running.all(*clips)] == [FRAMES] * 5


async def test_a_binary_without_action_units_is_no_engine(tmp_path) -> None:
    with pytest.raises(AssertionError, match="no Action Unit columns"):
        async with serving(tmp_path, plan={"ignores": ["-aus"]}):
            pass


async def test_models_that_do_not_load_are_the_service_s_problem(tmp_path) -> None:
    with pytest.raises(AssertionError, match="ended with 1: ERROR: Could not load the landmark detector"):
        async with serving(tmp_path, plan={"start_exit": 1}):
            pass


async def test_bad_input_is_not_openface_s_business(service, clips) -> None:
    async with service(plan=plan_for(clips), max_frames=FRAMES, max_pixels=320 * 320) as running:
        long = encode([np.zeros((48, 64, 3), np.uint8)] * (FRAMES + 1))
        wide = encode([np.zeros((320, 322, 3), np.uint8)] * 2)
        answers = await running.all(b"no video", long, clips[0], wide, clips[0][:300])
        assert [getattr(answer, "reason", "fine") for answer in answers] == [
            "MEDIA_UNREADABLE",
            "TOO_LARGE",
            "fine",
            "TOO_LARGE",
            "MEDIA_UNREADABLE",
        ]
        assert running.groups() == [[digest(clips[0])]]


async def test_stopping_ends_what_runs(service, clips) -> None:
    plan = plan_for(clips, c0={"do": "hang"})
    async with service(plan=plan, drain_seconds=0.2) as running:
        asking = asyncio.create_task(running.all(clips[0]))
        while len(calls(running.binary)) < 2:
            await asyncio.sleep(0.05)
        running.server.service.engine.interrupt()
        (answer,) = await asking
        assert answer.code == grpc.StatusCode.UNAVAILABLE and answer.retryable
        async with asyncio.timeout(5):  # what was killed may take a moment to end
            while alive_below(running.folder):
                await asyncio.sleep(0.05)


async def test_a_process_ends_once_nobody_waits_for_any_of_its_clips(service, clips) -> None:
    plan = plan_for(clips, c0={"do": "hang"})
    async with service(plan=plan) as running:
        requests = [running.stub.Detect(pb.DetectRequest(video=common_pb2.Media(data=clip))) for clip in clips[:2]]
        while len(calls(running.binary)) < 2:
            await asyncio.sleep(0.05)
        requests[1].cancel()
        await asyncio.sleep(0.5)
        assert alive_below(running.folder), "the first is still wanted"
        requests[0].cancel()
        async with asyncio.timeout(5):
            while alive_below(running.folder):
                await asyncio.sleep(0.05)
            (answer,) = await running.all(clips[2])
        assert len(answer.frames) == FRAMES
