"""The whole engine: on a drawn face with made-up model files, and on research clips with OpenFace's own."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from merrflow_openface_au.engines.openface_predictors.engine import PredictorsEngine, PredictorsPool
from merrflow_openface_au.engines.openface_predictors.face_track import PredictedTrack
from merrflow_openface_au.service import warmup_item
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import VideoResult
from merrflow_serving.errors import NotReady
from merrflow_serving.media.video import read_frames
from tests.services.openface_au.predictor_files import write
from tests.services.openface_au.videos import encode

SHARED = Path(__file__).resolve().parents[4] / "shared"
EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "clips"
CLIPS = ("sample_00000338", "sample_00002422", "sample_00003462", "samplenew_00051251")


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PredictorsEngine]:
    folder = write(tmp_path_factory.mktemp("models"))
    engine = PredictorsEngine(OpenFaceAuSettings(predictors_folder=folder))
    engine.load()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def real() -> Iterator[PredictorsEngine]:
    if not ((SHARED / "openface-models").is_dir() and (SHARED / "clips").is_dir()):
        pytest.skip("no OpenFace model files or research clips in ../shared")
    engine = PredictorsEngine(OpenFaceAuSettings(predictors_folder=SHARED / "openface-models"))
    engine.load()
    yield engine
    engine.close()


def beginning(clip: Path, frames: int) -> bytes:
    return encode(frame.image for frame in read_frames(clip, range(frames)).values())


def test_one_picture_gives_every_unit_of_the_files(made_up: PredictorsEngine) -> None:
    (result,) = made_up.run([warmup_item()])
    assert isinstance(result, VideoResult) and result.action_units == ("AU06", "AU12", "AU28")
    units = result.frames[0].faces[0].action_units
    assert tuple(units) == result.action_units
    assert 0 <= units["AU06"].intensity <= 5 and units["AU28"].intensity is None


def test_a_batch_changes_no_row(made_up: PredictorsEngine) -> None:
    clips = [beginning(clip, 12) for clip in sorted(EXAMPLES.glob("*.mp4"))[:2]]
    together = made_up.run([*clips, warmup_item()])
    assert made_up.run([clips[1]]) == together[1:2]
    assert made_up.run([warmup_item(), clips[0]]) == together[2::-2], "in another order, with other neighbours"


def test_workers_give_the_same_rows(made_up: PredictorsEngine, tmp_path: Path) -> None:
    pool = PredictorsPool(OpenFaceAuSettings(predictors_folder=write(tmp_path / "models"), mediapipe_processes=2))
    pool.load()
    try:
        assert pool.pids and pool.run([warmup_item()]) == made_up.run([warmup_item()])
    finally:
        pool.close()


def test_what_computed_is_in_the_provenance(made_up: PredictorsEngine, tmp_path: Path) -> None:
    info = made_up.info()
    assert info.engine == "openface_predictors" and "academic, non-commercial" in info.licence
    assert info.note.startswith("OpenFace predictors on MediaPipe landmarks, not OpenFace")
    other = write(tmp_path / "models")
    assert PredictorsEngine(OpenFaceAuSettings(predictors_folder=other)).info() == info  # before it is loaded
    (other / "tris_68_full.txt").write_text((other / "tris_68_full.txt").read_text() + "\n")
    assert PredictorsEngine(OpenFaceAuSettings(predictors_folder=other)).info().revision != info.revision


def test_without_the_files_the_service_says_how_to_get_them(tmp_path: Path) -> None:
    for pool in (1, 2):
        engine = PredictorsPool(OpenFaceAuSettings(models_dir=tmp_path, mediapipe_processes=pool))
        with pytest.raises(NotReady, match="merrflow models pull openface-predictors --accept-licence"):
            engine.load()
        engine.close()
        assert engine.info().revision == ""


def test_the_median_of_a_long_track_is_that_of_a_bounded_sample(
    made_up: PredictorsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []
    units_of = PredictedTrack.action_units
    monkeypatch.setattr("merrflow_openface_au.engines.openface_predictors.face_track.MOST_KEPT", 8)
    monkeypatch.setattr(
        PredictedTrack,
        "action_units",
        lambda track, indices: kept.append(list(track._kept)) or units_of(track, indices),
    )
    made_up.run([beginning(EXAMPLES / "good_news.mp4", 24)])
    assert kept and all(len(one) <= 8 and len(set(np.diff(one))) == 1 for one in kept)


def openface(name: str) -> dict[str, np.ndarray]:
    with open(SHARED / "openface" / f"{name}.csv", newline="") as file:
        rows = [{key.strip(): float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def test_it_follows_openface_within_faces(real: PredictorsEngine) -> None:
    found: dict[str, list[float]] = {}
    for name in CLIPS:
        reference = openface(name)
        (result,) = real.run([SHARED / "clips" / f"{name}.mp4"])
        assert isinstance(result, VideoResult) and len(result.action_units) == 18
        usable = [frame for frame in result.frames if frame.faces and reference["success"][frame.index] == 1]
        for unit in result.action_units:
            theirs = np.array([reference.get(f"{unit}_r", np.zeros(999))[frame.index] for frame in usable])
            if theirs.std() > 0.08:
                ours = np.array([frame.faces[0].action_units[unit].intensity for frame in usable])
                found.setdefault(unit, []).append(np.corrcoef(ours, theirs)[0, 1] if ours.std() > 0 else 0.0)
    mean = {unit: float(np.mean(values)) for unit, values in found.items()}
    assert np.mean(list(mean.values())) > 0.5
    assert {"AU04", "AU25"} <= {unit for unit, r in mean.items() if r > 0.5}
