"""Research clips through the service, with the CSVs that OpenFace wrote for them; both lie outside the project."""

from __future__ import annotations

import csv
from pathlib import Path

import grpc
import numpy as np
import pytest

from merrflow.common.v1 import common_pb2
from merrflow.openface_au.v1 import openface_au_pb2 as pb
from merrflow.openface_au.v1 import openface_au_pb2_grpc as pb_grpc
from merrflow_openface_au import SPEC
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_serving.server import Server
from tests.services.openface_au.fake_openface import calls, digest, install
from tests.services.openface_au.test_real_clips import CLIPS

INTENSITY = ["01", "02", "04", "05", "06", "07", "09", "10", "12", "14", "15", "17", "20", "23", "25", "26", "45"]
PRESENCE = [*INTENSITY, "28"]


@pytest.mark.parametrize("version", [pytest.param(1, marks=pytest.mark.slow), 2])
async def test_the_six_clips_have_their_csvs_values(shared: Path, tmp_path: Path, version: int) -> None:
    files = {name: shared / "clips" / f"{name}.mp4" for name in CLIPS}
    plan = {
        digest(path.read_bytes()): {"csv": str(shared / "openface" / f"{name}.csv")} for name, path in files.items()
    }
    binary = install(tmp_path / "bin", version=version, plan=plan)
    settings = OpenFaceAuSettings(
        port=0, engine="openface", openface_binary=str(binary), openface_processes=2, media_roots=[shared]
    )
    server = Server(SPEC, settings)
    await server.start()
    await server.wait_ready()
    assert server.service.ready, server.service.problem
    async with grpc.aio.insecure_channel(server.address, options=[("grpc.max_receive_message_length", -1)]) as channel:
        stub = pb_grpc.ActionUnitsStub(channel)
        asked = {
            name: stub.Detect(pb.DetectRequest(clip=name, video=common_pb2.Media(path=str(path))))
            for name, path in files.items()
        }
        for name, call in asked.items():
            compare(await call, shared / "openface" / f"{name}.csv")
    await server.stop()
    assert sum(len(call["clips"]) for call in calls(binary)) == 1 + len(files)


def compare(reply: pb.DetectResponse, path: Path) -> None:
    """Every value of the reply against the file, read anew."""
    with path.open(newline="") as file:
        rows = [{key.strip(): float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    assert list(reply.action_units) == sorted(f"AU{code}" for code in PRESENCE)
    assert len(reply.frames) == len(rows)
    for frame, row in zip(reply.frames, rows, strict=True):
        assert frame.index == row["frame"] - 1
        assert frame.timestamp_seconds == pytest.approx(row["timestamp"], abs=0.05)
        assert len(frame.faces) == int(row["success"])
        for face in frame.faces:
            assert face.confidence == pytest.approx(row["confidence"], abs=1e-6)
            units = {unit.name: unit for unit in face.action_units}
            assert [units[f"AU{code}"].intensity for code in INTENSITY] == pytest.approx(
                [row[f"AU{code}_r"] for code in INTENSITY]
            )
            assert not units["AU28"].HasField("intensity")
            assert {code for code in PRESENCE if units[f"AU{code}"].present} == {
                code for code in PRESENCE if row[f"AU{code}_c"] == 1
            }
            xs, ys = (np.array([row[f"{axis}_{i}"] for i in range(68)]) for axis in "xy")
            assert (face.box.x, face.box.y) == pytest.approx((xs.min(), ys.min()), abs=1e-3)
            assert (face.box.width, face.box.height) == pytest.approx((np.ptp(xs), np.ptp(ys)), abs=1e-3)
            gap = np.hypot(xs[62] - xs[66], ys[62] - ys[66]) / np.hypot(xs[48] - xs[54], ys[48] - ys[54])
            assert face.mouth_opening == pytest.approx(gap, abs=1e-3)
            np.testing.assert_allclose(ours(face.pose), theirs(row), atol=1e-5)


def turn(axis: int, degrees: float) -> np.ndarray:
    """Rotation about x, y or z, counter-clockwise against the axis."""
    one, other = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[one, one] = matrix[other, other] = np.cos(np.radians(degrees))
    matrix[other, one] = np.sin(np.radians(degrees))
    matrix[one, other] = -matrix[other, one]
    return matrix


def ours(pose: pb.HeadPose) -> np.ndarray:
    return turn(1, pose.yaw) @ turn(0, -pose.pitch) @ turn(2, -pose.roll)


def theirs(row: dict[str, float]) -> np.ndarray:
    """OpenFace's R = Rx Ry Rz, with its y (down) and z (away) turned round."""
    rx, ry, rz = (np.degrees(row[f"pose_R{axis}"]) for axis in "xyz")
    flip = np.diag([1.0, -1.0, -1.0])
    return flip @ turn(0, rx) @ turn(1, ry) @ turn(2, rz) @ flip
