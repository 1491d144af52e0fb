"""The expression and recognition networks of the mediapipe engine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from merrflow_openface_au.engines.mediapipe import face_networks
from merrflow_openface_au.engines.mediapipe.engine import MediapipeEngine
from merrflow_openface_au.engines.mediapipe.face_networks import CLASSES, EXPRESSION, RECOGNITION, Network
from merrflow_openface_au.engines.mediapipe.worker_protocol import answer_message, answer_of
from merrflow_openface_au.service import warmup_item
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import VideoResult

NOISE = {side: np.random.default_rng(0).uniform(0, 255, (side, side, 3)).astype(np.float32) for side in (112, 150)}


def measured(**settings: int) -> VideoResult:
    engine = MediapipeEngine(OpenFaceAuSettings(**settings))
    engine.load()
    try:
        (result,) = engine.run([warmup_item()])
    finally:
        engine.close()
    assert isinstance(result, VideoResult)
    return result


def test_golden_numbers() -> None:
    shares = face_networks._session(EXPRESSION)(NOISE[112])
    assert shares == pytest.approx([0.152766, 0.023484, 0.624742, 0.155003, 0.006472, 0.004776, 0.032758], abs=1e-4)
    vector = face_networks._session(RECOGNITION)(NOISE[150])
    assert vector[:4] == pytest.approx([-0.096724, 0.102121, 0.034857, -0.028857], abs=1e-4)


def drawn(number: int, side: int) -> np.ndarray:
    """As `picture` in services/openface_au/face_api_numbers.mjs."""
    y, x, channel = np.indices((side, side, 3))
    value = x * (number + 3) + y * (5 - number) + 70 * channel + x * y % 17 * 8 * number
    return np.asarray(value % 256, np.float32)


@pytest.mark.parametrize(
    ("network", "side"), [(EXPRESSION, 112), (RECOGNITION, 150)], ids=["expression", "recognition"]
)
def test_the_networks_give_what_the_package_itself_gives(network: Network, side: int) -> None:
    """Computed by npm's package with its own weights and code, by face_api_numbers.mjs: no ONNX, no code of ours."""
    expected = json.loads(Path(__file__).with_name("face_api_numbers.json").read_text())[network.name]
    session = face_networks._session(network)
    found = [session(drawn(number, side)) for number in range(3)]
    assert np.abs(np.array(found) - expected).max() < 2e-5
    assert np.abs(np.diff(expected, axis=0)).max() > 0.05, "other pictures give other numbers"


def test_a_face_is_judged_and_measured() -> None:
    result = measured()
    (face,) = result.frames[0].faces
    assert result.expression_classes == CLASSES
    assert sum(face.expression) == pytest.approx(1, abs=1e-4)
    assert np.isfinite(np.frombuffer(face.embedding, "<f2")).all()
    assert len(face.embedding) == 256
    assert answer_of(*answer_message(result)) == result


def test_both_can_be_switched_off() -> None:
    result = measured(expression_every=0, embedding_every=0)
    (face,) = result.frames[0].faces
    assert (result.expression_classes, face.expression, face.embedding) == ((), (), b"")


@pytest.mark.parametrize("content", [b"tampered", None])
def test_a_tampered_or_missing_network_is_said_and_left_out(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "recognition.onnx"
    if content is not None:
        file.write_bytes(content)
    real = Network.path.fget
    monkeypatch.setattr(Network, "path", property(lambda it: file if it.name == "recognition" else real(it)))
    (face,) = measured().frames[0].faces
    assert face.expression
    assert face.embedding == b""
    info = MediapipeEngine(OpenFaceAuSettings()).info()
    assert f"no recognition network: {file}" in info.note
    assert "embedding" not in info.prompt_version


def _raises(picture: np.ndarray) -> np.ndarray:
    raise RuntimeError("no memory\nfor this")


@pytest.mark.parametrize("fault", [_raises, lambda picture: np.full(7, np.nan, np.float32)], ids=["raises", "nan"])
def test_a_network_that_fails_is_said_once_and_costs_no_other_result(fault, monkeypatch, caplog) -> None:
    real = face_networks._session
    monkeypatch.setattr(face_networks, "_session", lambda network: fault if network is EXPRESSION else real(network))
    engine = MediapipeEngine(OpenFaceAuSettings(expression_every=1))
    engine.load()
    results = engine.run([warmup_item(), warmup_item()])
    engine.close()
    for result in results:
        (face,) = result.frames[0].faces
        assert face.expression == () and len(face.embedding) == 256 and face.action_units
    assert [r.getMessage() for r in caplog.records if "expression network" in r.getMessage()] == [
        "the expression network cannot be run and is left out: "
        + ("no memory for this" if fault is _raises else "its numbers are not finite")
    ]


@pytest.mark.parametrize("content", [b"tampered", None])
def test_a_network_that_changes_after_it_was_checked_is_not_loaded(content, tmp_path, monkeypatch, caplog) -> None:
    wanted = face_networks.wanted_networks(OpenFaceAuSettings())
    file = tmp_path / "expression.onnx"
    if content:
        file.write_bytes(content)
    monkeypatch.setattr(Network, "path", property(lambda it: file))
    assert face_networks.FaceNetworks(wanted).classes == ()
    assert "the expression network cannot be loaded and is left out: " in caplog.text and str(file) in caplog.text
