"""Finding and checking the model bundle."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from merrflow_openface_au.engines.mediapipe import model_bundle
from merrflow_openface_au.engines.mediapipe.engine import MediapipeEngine
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_serving import packaged
from merrflow_serving.errors import NotReady


@pytest.mark.parametrize("name", [model_bundle.DETECTOR, model_bundle.MESH, model_bundle.BLENDSHAPES])
def test_bundle_holds_the_networks(name: str) -> None:
    model = model_bundle.member(model_bundle.read_model_bundle(), name)
    assert model[4:8] == b"TFL3"  # a TensorFlow Lite file


def test_another_file_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "face_landmarker.task"
    other.write_bytes(b"not a model")
    with pytest.raises(NotReady, match="sha256"):
        MediapipeEngine(OpenFaceAuSettings(face_landmarker=other)).load()
    with pytest.raises(NotReady, match="there is no face landmarker"):
        MediapipeEngine(OpenFaceAuSettings(face_landmarker=tmp_path / "none")).load()


def test_info_needs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "distribution", None)
    info = MediapipeEngine(OpenFaceAuSettings(max_frames=7)).info()
    assert info.revision == packaged.FACE_LANDMARKER.revision
    assert re.fullmatch(
        r"\S+\+[0-9a-f]{8} mesh=litert-\d max_faces=4 expression=[0-9a-f]{8}/3 embedding=[0-9a-f]{8}/10",
        info.prompt_version,
    )
    assert "not OpenFace" in info.note
    assert info.limits.max_frames == 7


def test_whatever_changes_results_changes_the_prompt_version(tmp_path: Path) -> None:
    def version(**settings: object) -> str:
        return MediapipeEngine(OpenFaceAuSettings(**settings)).info().prompt_version

    text = (resources.files("merrflow_openface_au") / "data/mediapipe.yaml").read_text(encoding="utf-8")
    changed, commented = tmp_path / "changed.yaml", tmp_path / "commented.yaml"
    changed.write_text(re.sub(r"percentile: \S+", "percentile: 21", text), encoding="utf-8")  # version line as it was
    commented.write_text(f"# mine\n{text}", encoding="utf-8")
    assert len({version(), version(mapping=changed), version(max_faces=3)}) == 3
    assert version(mapping=commented) == version() == version(max_frames=7)


def test_a_clip_of_ten_minutes_fits() -> None:
    assert OpenFaceAuSettings().max_frames >= 600 * 30


def test_rules_that_cannot_be_read_stop_the_start(tmp_path: Path) -> None:
    engine = MediapipeEngine(OpenFaceAuSettings(mapping=tmp_path / "none.yaml"))
    assert engine.info().prompt_version == ""
    with pytest.raises(NotReady, match=r"none\.yaml"):
        engine.load()
