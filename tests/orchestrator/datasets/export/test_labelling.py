"""Exports for labelling tools: what is in them, and that the tools' own readers take them, where they are installed.

pip install label-studio-sdk argilla fiftyone
"""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock
from urllib.parse import unquote

import cv2
import numpy as np
import pandas as pd
import pytest

from merrflow.core.records import Record
from merrflow.core.spoken import Subtitle
from merrflow.datasets.export.export import export
from tests.orchestrator.datasets.export.clips import with_clips
from tests.orchestrator.datasets.report.runs import record, run

EVIL = "\"<b>' & $image </Choice> 你好"


def records() -> list[Record]:
    one = record("0001")
    shares = {"all": {"happy": 0.7}}
    return [
        replace(one, peak=replace(one.peak, box=(64.0, 36.0, 320.0, 180.0)), distribution=shares),
        record('b"&1', 'pro<u>d"', subtitle=Subtitle(EVIL, "srt", "en", ""), tone=None, scene=None, reasoning=None),
    ]


def moved(tmp_path: Path, format: str, **options: object) -> Path:
    """An export in another folder than it was written to, whose run and clips are gone."""
    ledger = run(tmp_path / "run", records())
    with_clips(tmp_path / "run", ledger, *(one.name for one in records()), film=True)
    done = export(ledger, tmp_path / "run", format, options=options)
    assert done.records == (1 if format == "mer-factory" else 2)
    shutil.copytree(done.folder, tmp_path / "moved")
    shutil.rmtree(tmp_path / "run")
    for path in (tmp_path / "moved").rglob("*.json"):
        assert path.read_bytes().isascii() and str(tmp_path) not in path.read_text()
    return tmp_path / "moved"


@pytest.mark.parametrize("format", ["labelstudio", "fiftyone"])
def test_a_clip_that_is_gone_is_left_out_and_counted(tmp_path: Path, format: str) -> None:
    ledger = run(tmp_path, records())
    with_clips(tmp_path, ledger, "0001")
    done = export(ledger, tmp_path, format, options={"video": "true"})
    assert done.records == 1 and done.left_out == {"a clip that is not where it was": 1}


class TestLabelStudio:
    @pytest.mark.parametrize("shown", ["image", "video"])
    def test_tasks_have_their_files_and_predictions(self, tmp_path: Path, shown: str) -> None:
        folder = moved(tmp_path, "labelstudio", video=shown == "video")
        first, second = json.loads((folder / "tasks.json").read_text())
        for task in (first, second):
            assert (folder / unquote(task["data"][shown].removeprefix("/data/local-files/?d="))).is_file()
        assert first["predictions"][0]["score"] == 0.7
        assert first["predictions"][0]["result"][0]["value"] == {"choices": ["happy"]}
        assert [result["type"] for result in second["predictions"][0]["result"]] == ["choices"]
        assert second["data"]["subtitle"] == EVIL

    @pytest.mark.parametrize("shown", ["image", "video"])
    def test_label_studios_own_checks_pass(self, tmp_path: Path, shown: str) -> None:
        sdk = pytest.importorskip("label_studio_sdk.label_interface", reason="label-studio-sdk is not installed")
        folder = moved(tmp_path, "labelstudio", video=shown == "video")
        interface = sdk.LabelInterface((folder / "config.xml").read_text())
        interface.validate()
        assert 'pro<u>d"' in interface.get_control("emotion").labels
        for task in json.loads((folder / "tasks.json").read_text()):
            assert interface.validate_task({"data": task["data"]})  # it fails on any task with predictions
            assert interface.validate_prediction(task["predictions"][0], return_errors=True) == []

    def test_files_may_be_served_from_elsewhere(self, tmp_path: Path) -> None:
        folder = moved(tmp_path, "labelstudio", url="https://files.example/")
        assert json.loads((folder / "tasks.json").read_text())[1]["data"]["image"] == (
            "https://files.example/images/b%22%261.jpg"
        )


class TestArgilla:
    def test_pictures_are_small_and_within(self, tmp_path: Path) -> None:
        first, second = json.loads((moved(tmp_path, "argilla", pixels=128) / "records.json").read_text())
        data = base64.b64decode(first["fields"]["image"].removeprefix("data:image/jpeg;base64,"))
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (72, 128, 3)
        assert first["suggestions"]["label"] == {"value": "happy", "score": 0.7, "agent": "rules"}
        assert set(second["suggestions"]) == {"label"} and "scene" not in second["fields"]

    def test_without_pictures(self, tmp_path: Path) -> None:
        first, _ = json.loads((moved(tmp_path, "argilla", pixels=0) / "records.json").read_text())
        assert "image" not in first["fields"]

    def test_argillas_own_readers_take_it(self, tmp_path: Path) -> None:
        argilla = pytest.importorskip("argilla", reason="argilla is not installed")
        from argilla._models import DatasetModel
        from argilla.records._io import JsonIO

        argilla.Argilla._default_client = MagicMock()  # no server: what it would be sent is looked at
        folder = moved(tmp_path, "argilla")
        settings = argilla.Settings.from_json(folder / ".argilla" / "settings.json")
        settings.validate()
        dataset = argilla.Dataset(name="set", settings=settings, workspace=MagicMock())
        DatasetModel(**json.loads((folder / ".argilla" / "dataset.json").read_text()))
        read = JsonIO._records_from_json(folder / "records.json")
        assert [one.id for one in read] == ["0001", 'b"&1']
        sent = dataset.records._ingest_records(read)
        assert [one.value for one in sent[0].suggestions] == ["happy", "The smile and the bright voice tell of joy."]
        assert sent[0].fields["subtitle"] == "What a day"
        assert {one.name: one.value for one in sent[0].metadata}["label_source"] == "rules"
        with pytest.raises(Exception, match="nowhere"):  # that is, they are checked against the settings
            dataset.records._ingest_records([argilla.Record(fields={"nowhere": "x"})])


class TestFiftyOne:
    def test_the_face_is_where_it_is_in_the_picture(self, tmp_path: Path) -> None:
        folder = moved(tmp_path, "fiftyone")
        first, second = json.loads((folder / "samples.json").read_text())["samples"]
        assert first["face"]["detections"][0]["bounding_box"] == [0.1, 0.1, 0.5, 0.5]
        assert first["emotion"] == {"_cls": "Classification", "label": "happy", "confidence": 0.7}
        assert second["face"]["detections"] == [] and (folder / second["filepath"]).is_file()

    @pytest.mark.parametrize("video", [False, True])
    def test_fiftyones_own_reader_takes_it(self, tmp_path: Path, video: bool) -> None:
        importers = pytest.importorskip("fiftyone.utils.data.importers", reason="fiftyone is not installed")
        folder = moved(tmp_path, "fiftyone", video=video)
        importer = importers.LegacyFiftyOneDatasetImporter(dataset_dir=str(folder))
        importer.setup()
        first, second = list(importer)
        assert first.media_type == second.media_type == ("video" if video else "image")
        assert Path(first.filepath).is_file() and Path(first.filepath).parent.parent == folder
        assert first.emotion.label == "happy" and first.emotion.confidence == 0.7
        assert first.fine == "The smile and the bright voice tell of joy." and second.fine is None
        face = (first.frames[21] if video else first).face.detections[0]
        assert face.bounding_box == [0.1, 0.1, 0.5, 0.5]


def test_mer_factorys_export_finds_what_it_looks_for(tmp_path: Path) -> None:
    """As its export.py reads the folder: file names, keys, and the label in the text of the peak."""
    folder = moved(tmp_path, "mer-factory")
    (name,) = [path.name for path in folder.iterdir() if path.is_dir()]
    data = json.loads((folder / name / f"{name}_merr_data.json").read_text())
    assert Path(data["source_path"]).stem == name == "0001"
    assert len(pd.read_csv(folder / name / f"{name}.csv")) == 50  # which it takes for the number of frames
    (peak,) = data["chronological_emotion_peaks"]
    when, label = peak.removeprefix("Peak at ").split("s: ")
    assert label == "happy" and abs(float(when) - data["overall_peak_frame_info"]["timestamp"]) < 0.1
    assert data["overall_peak_frame_info"]["frame_number"] == 20
    assert data["coarse_descriptions_at_peak"]["visual_expression"] == "Big smile (AU12)"
    assert data["final_summary"] == "The smile and the bright voice tell of joy."
    units = pd.read_csv(folder / name / f"{name}.csv")["AU12_r"]
    assert units.idxmax() == 20 and units.max() == 3.0
