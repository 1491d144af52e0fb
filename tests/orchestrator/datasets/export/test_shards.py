"""What Hugging Face exports hold: pictures, films, sounds, or none; as Parquet and as WebDataset."""

from __future__ import annotations

import io
import shutil
import tarfile
import wave
from dataclasses import replace
from pathlib import Path

import pytest

from merrflow.core.fingerprint import file_sha256
from merrflow.core.inputs import Found
from merrflow.core.records import Outcome, Record
from merrflow.datasets.entries import RECORDS
from merrflow.datasets.export import shards
from merrflow.datasets.export.export import export
from merrflow.store import Ledger, StageRow
from tests.orchestrator.datasets.export.clips import with_clips
from tests.orchestrator.datasets.export.test_huggingface import datasets, full, header, load, no_progress
from tests.orchestrator.datasets.report.runs import run

__all__ = ["no_progress"]  # a fixture


def filmed(out: Path, *names: str) -> tuple[Ledger, list[Record]]:
    """A run whose clips are there, with the hashes that their records have."""
    records = [full(name, label) for name, label in zip(names, ("happy", "sad", "proud"), strict=False)]
    ledger = run(out, records)
    with_clips(out, ledger, *names, film=True)
    records = [replace(one, sha256=file_sha256(out / "clips" / f"{one.name}.mp4")) for one in records]
    for one in records:
        ledger.finish_clip(one.name, "print", StageRow(Outcome.DONE, "", RECORDS.dump_json(one), 2.0))
    return ledger, records


def load_raw(folder: Path, tmp_path: Path) -> datasets.Dataset:
    """The rows with their files as bytes, since decoding films needs a library of its own."""
    found = load(folder, tmp_path)["train"]
    for name, feature in found.features.items():
        if isinstance(feature, datasets.Image | datasets.Video | datasets.Audio):
            found = found.cast_column(name, type(feature)(decode=False))
    return found


FILMS = {"image": "true", "video": "true"}


def test_films_and_sounds_by_choice(tmp_path: Path) -> None:
    ledger, _ = filmed(tmp_path, "a", "b")
    whole = (tmp_path / "clips" / "a.mp4").read_bytes()
    done = export(ledger, tmp_path, "huggingface", options=FILMS | {"audio": "true"})
    moved = Path(shutil.move(done.folder, tmp_path / "moved"))
    rows = load_raw(moved, tmp_path)
    assert isinstance(load(moved, tmp_path)["train"].features["video"], datasets.Video)
    assert rows[0]["video"]["bytes"] == whole
    with wave.open(io.BytesIO(rows[0]["audio"]["bytes"])) as sound:
        assert sound.getframerate() == 16_000
    assert header(moved)["task_categories"] == [
        *("image-classification", "image-text-to-text", "video-classification", "video-text-to-text"),
        "audio-classification",
    ]


def test_without_pictures_it_is_a_dataset_of_text(tmp_path: Path) -> None:
    folder = export(run(tmp_path, [full("a")]), tmp_path, "huggingface", options={"image": "false"}).folder
    assert "image" not in load(folder, tmp_path)["train"].column_names
    assert header(folder)["task_categories"] == ["text-classification"]
    assert "peak frame, " not in (folder / "README.md").read_text().split("## Figures")[0]
    plain_folder = export(run(tmp_path / "2", [full("a")]), tmp_path / "2", "huggingface").folder
    assert header(plain_folder)["task_categories"] == [
        "image-classification",
        "image-text-to-text",
    ]  # no film is inside


@pytest.mark.parametrize("format", ["huggingface", "webdataset"])
def test_a_clip_that_is_gone_or_another_is_counted_and_its_record_stays(tmp_path: Path, format: str) -> None:
    ledger, _ = filmed(tmp_path, "a", "b", "c")
    (tmp_path / "clips" / "a.mp4").unlink()
    (tmp_path / "clips" / "b.mp4").write_bytes((tmp_path / "clips" / "c.mp4").read_bytes())
    done = export(ledger, tmp_path, format, options={"video": "true"})
    column = "video" if format == "huggingface" else "mp4"
    assert [bool(row[column]) for row in load_raw(done.folder, tmp_path)] == [False, False, True]
    assert any("not where they were, or have changed" in remark and remark.endswith(": 2") for remark in done.remarks)


def test_webdataset_holds_the_same(tmp_path: Path) -> None:
    ledger, records = filmed(tmp_path, "a.1", "a.2", "b")  # readers end a key at the first dot
    for one in (*records, replace(full("late"), scene=None, tone=None)):
        if one.name == "late":
            ledger.register([Found(Path("/data/late.mp4"))], {Path("/data/late.mp4"): "late"})
        ledger.finish_clip(one.name, "print", StageRow(Outcome.DONE, "", RECORDS.dump_json(one), 2.0))
    done = export(ledger, tmp_path, "webdataset", options=FILMS)
    parquet = load_raw(export(ledger, tmp_path, "huggingface", options=FILMS).folder, tmp_path)
    moved = Path(shutil.move(done.folder, tmp_path / "moved"))
    rows = load_raw(moved, tmp_path)
    names = load(tmp_path / "export" / "huggingface", tmp_path)["train"].features["label"].names
    assert len(rows) == len(parquet) == 4
    for row, same in zip(rows, parquet, strict=True):
        expected = {name: value for name, value in same.items() if name not in ("image", "video", "audio")}
        assert row["json"] == expected | {"label": names[same["label"]]}
        for extension, column in (("jpg", "image"), ("mp4", "video")):
            assert (row[extension] and row[extension]["bytes"]) == (same[column] and same[column]["bytes"])
    assert header(moved)["dataset_info"]["splits"][0]["num_examples"] == 4


def test_webdataset_has_the_sound_too(tmp_path: Path) -> None:
    """Read as a TAR, for `datasets` wants torchcodec before it takes a sound."""
    ledger, _ = filmed(tmp_path, "a", "b")
    folder = export(ledger, tmp_path, "webdataset", options={"image": "false", "audio": "true"}).folder
    with tarfile.open(folder / "data" / "train-00000-of-00001.tar") as tar:
        assert tar.getnames() == ["000000000.wav", "000000000.json", "000000001.wav", "000000001.json"]
        assert tar.extractfile("000000001.wav").read(4) == b"RIFF"
    assert header(folder)["task_categories"] == ["audio-classification"]
    assert header(folder)["dataset_info"]["features"][0] == {"name": "wav", "dtype": "audio"}


def test_tar_shards_are_bounded(tmp_path: Path) -> None:
    with shards.TarShards(tmp_path, "train", 5000, ("happy",)) as written:
        for number in range(10):
            written.add({"label": 0, "name": str(number), "image": {"bytes": bytes(1500), "path": "x.jpg"}})
        written.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"train-0000{i}-of-00004.tar" for i in range(4)]
