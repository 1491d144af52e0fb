"""The Hugging Face export, read with the `datasets` library, which is not to reach the network."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import tarfile
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # read when the library is imported

from merrflow.core.fingerprint import file_sha256
from merrflow.core.inputs import Found
from merrflow.core.records import Claim, Origin, Outcome, Record, ShownFrame
from merrflow.datasets.entries import RECORDS, Entry
from merrflow.datasets.export import shards
from merrflow.datasets.export.card import plain
from merrflow.datasets.export.export import export
from merrflow.datasets.export.huggingface import HuggingFaceOptions, ParquetDataset, split_of
from merrflow.datasets.export.vocabulary import vocabulary
from merrflow.store import Ledger, StageRow
from tests.orchestrator.datasets.export.clips import with_clips
from tests.orchestrator.datasets.report.runs import many, record, run

datasets = pytest.importorskip("datasets", reason="the datasets library is for tests only")


@pytest.fixture(autouse=True)
def no_progress() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def load(folder: Path, tmp_path: Path) -> datasets.DatasetDict:
    return datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))


def full(name: str, label: str = "happy") -> Record:
    """A record with every field filled."""
    shares = {"happy": 0.7, "sad": 0.2, "disgust": 0.1}
    one = record(name, label)
    return replace(
        one,
        sha256=hashlib.sha256(name.encode()).hexdigest(),
        label=replace(one.label, ruled="sad", supported=False, scores={"happy": 1.5, "proud": 0.25}),
        peak=replace(one.peak, confidence=0.98, box=(10.0, 20.0, 30.0, 40.0), intensity={"AU12": 3.0}),
        grounding=(Claim("bright", "bright voice", "contradicted", "why"),),
        distribution={"all": shares, "words": {"sad": 1.0}},
        missing={"scene": "no model"},
        shown=ShownFrame(27, 1.08, (1.0, 2.0, 3.0, 4.0), "it says more"),
    )


def header(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text(encoding="utf-8").split("---\n")[1])


def test_every_field_comes_back(tmp_path: Path) -> None:
    ledger = run(tmp_path, [full("a"), record("b", "sad", scene=None, tone=None, reasoning=None)])
    done = export(ledger, tmp_path, "huggingface")
    first, second = load(done.folder, tmp_path)["train"]
    names = load(done.folder, tmp_path)["train"].features["label"].names
    assert names == [
        *("neutral", "angry", "happy", "sad", "worried", "surprise", "fear", "contempt", "doubt"),
        *("disgust", "proud"),
    ]
    jpeg = cv2.imdecode(np.fromfile(tmp_path / "peaks" / "a.jpg", np.uint8), cv2.IMREAD_COLOR_RGB)
    assert first["image"].size == (640, 360)
    assert np.abs(np.asarray(first["image"]).astype(int) - jpeg).max() <= 3  # two decoders of one JPEG
    assert (first["peak_frame"], first["picture_frame"], first["picture_face_box"]) == (20, 27, [1.0, 2.0, 3.0, 4.0])
    assert (second["peak_frame"], second["picture_frame"]) == (20, 20)
    assert names[first["label"]] == "happy" and names[second["label"]] == "sad"
    assert first["label_by_rules"] == "sad" and first["label_supported"] is False
    assert dict(zip(names, first["rule_scores"], strict=True)) == dict.fromkeys(names) | {"happy": 1.5, "proud": 0.25}
    assert first["action_units"] == ["AU12"] and first["expressions"] == ["Big smile"]
    assert first["peak_action_units"] == ["AU06", "AU12"] and first["peak_intensities"] == [None, 3.0]
    assert first["face_box"] == [10, 20, 30, 40]
    assert first["prosody"] == {"pitch_mean": pytest.approx(212.4)}
    assert (first["speech_starts"], first["speech_ends"]) == ([pytest.approx(0.2)], [1.0])
    assert first["tone_claims"] == ["bright voice"] and first["tone_verdicts"] == ["contradicted"]
    assert first["distribution"]["all"][names.index("sad")] == pytest.approx(0.2)
    assert first["distribution"]["face"] is None
    assert first["provenance"]["action_units"]["note"] == "a proxy, not OpenFace"
    assert first["provenance"]["tone"] is None
    assert first["missing"] == ["scene: no model"]
    assert first["cuts"] == [30] and first["frames"] == 50 and first["seconds"] == 2.0
    assert first["fine"] == "The smile and the bright voice tell of joy." and second["fine"] is None
    assert second["scene"] is None and second["prosody"] == {"pitch_mean": None}


def test_the_card_and_the_files_say_the_same(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    ledger = run(tmp_path, [full("a"), full("b", "sad")])
    folder = export(ledger, tmp_path, "huggingface").folder
    said = header(folder)
    features = datasets.Features._from_yaml_list(said["dataset_info"]["features"])
    file = folder / "data" / "train-00000-of-00001.parquet"
    loaded = load(folder, tmp_path)["train"]
    assert features == loaded.features == datasets.Dataset.from_parquet(str(file), cache_dir=str(tmp_path)).features
    assert said["dataset_info"]["splits"][0]["num_examples"] == 2
    assert said["dataset_info"]["download_size"] == file.stat().st_size
    assert said["license"] == "other" and said["size_categories"] == ["n<1K"]
    assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "| happy | 1 |" in card and "| sad | 1 |" in card
    assert "/data/" not in card and b"/data/a.mp4" not in file.read_bytes()  # no path of this machine
    assert "1 contradicted" not in card and "2 contradicted" in card


def test_the_card_tells_an_engine_once_and_every_verdict(tmp_path: Path) -> None:
    claims = tuple(Claim("loud", "loud", verdict, "why") for verdict in ("undecided", "undecided", "supported"))
    records = [
        record(name, origins={"scene": Origin("csv", "m", "r", "", f"of {name}", 0.0, 0.0)}, grounding=claims)
        for name in "abc"
    ]
    folder = export(run(tmp_path, records), tmp_path, "huggingface").folder
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "| scene | csv | m | r | 3 |  |" in card and "of b" not in card
    assert "3 claims supported, 0 contradicted, 6 undecided, 0 not measured" in card


def test_text_in_the_card_is_no_markup(tmp_path: Path) -> None:
    evil = '<script>alert(1)</script> | ![x](http://h/x.png)\n\n# Title\n---\n{{ 7 * 7 }} "quoted": [yaml'
    origin = Origin(evil, evil, evil, evil, evil, 0.0, 0.0)
    one = record("a", origins={"scene": origin}, missing={"tone": evil})
    one = replace(one, label=replace(one.label, label=evil, rules=evil))
    folder = export(run(tmp_path, [one]), tmp_path, "huggingface").folder
    card = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2]
    assert "<script>" not in card and "![x]" not in card and "49" not in card
    assert not any(line.startswith("# Title") for line in card.splitlines())
    loaded = load(folder, tmp_path)["train"]
    assert loaded.features["label"].int2str(loaded[0]["label"]) == evil
    assert len(plain("x" * 10_000)) == 300


def test_lone_surrogates_and_control_signs_can_be_written(tmp_path: Path) -> None:
    ledger = run(tmp_path, [record("a")])
    (tmp_path / "to").mkdir()
    evil = replace(record("a"), coarse="a\ud800b\x00c\x1b</s>")
    with ParquetDataset(tmp_path / "to", tmp_path / "peaks", vocabulary(ledger), HuggingFaceOptions()) as writer:
        writer.add(Entry(evil, Outcome.DONE, ""))
        writer.finish()
    assert load(tmp_path / "to", tmp_path)["train"][0]["coarse"] == "a\ufffdb\x00c\x1b</s>"


def test_without_a_picture_the_record_stays(tmp_path: Path) -> None:
    ledger = run(tmp_path, [record("a"), record("b")])
    (tmp_path / "peaks" / "a.jpg").unlink()
    whole = (tmp_path / "peaks" / "b.jpg").read_bytes()
    (tmp_path / "peaks" / "b.jpg").write_bytes(whole[: len(whole) // 2])
    done = export(ledger, tmp_path, "huggingface")
    assert [row["image"] for row in load(done.folder, tmp_path)["train"]] == [None, None]
    assert any("without a picture" in remark and remark.endswith(": 2") for remark in done.remarks)


def test_shards_are_bounded_and_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = run(tmp_path, many(25), size=(64, 36))
    monkeypatch.setattr(shards, "GROUP", 4)
    (tmp_path / "to").mkdir()
    size = (tmp_path / "peaks" / "clip_00000.jpg").stat().st_size
    entries = [Entry(one, Outcome.DONE, "") for one in many(25)]
    limit = 10 * (size + 1500)
    with ParquetDataset(tmp_path / "to", tmp_path / "peaks", vocabulary(ledger), HuggingFaceOptions(), limit) as w:
        for entry in entries:
            w.add(entry)
        w.finish()
    names = sorted(path.name for path in (tmp_path / "to" / "data").iterdir())
    assert 2 < len(names) < 25
    assert names[0] == f"train-00000-of-{len(names):05}.parquet"
    rows = load(tmp_path / "to", tmp_path)["train"]
    assert rows["name"] == [one.name for one in many(25)]


def test_splits(tmp_path: Path) -> None:
    records = [full(f"clip_{i:04}") for i in range(300)]
    ledger = run(tmp_path, records, size=(32, 18))
    shares = {"validation": 0.2, "test": 0.1}
    folder = export(ledger, tmp_path, "huggingface", options={"split": shares}).folder
    loaded = load(folder, tmp_path)
    assert set(loaded) == {"train", "validation", "test"}
    assert sum(part.num_rows for part in loaded.values()) == 300
    assert 40 <= loaded["validation"].num_rows <= 80 and 15 <= loaded["test"].num_rows <= 45
    assert [split["num_examples"] for split in header(folder)["dataset_info"]["splits"]] == [
        loaded[name].num_rows for name in ("train", "validation", "test")
    ]


def test_a_clip_keeps_its_split_and_copies_come_together() -> None:
    shares = {"test": 0.5}
    keys = [str(i) for i in range(200)]
    drawn = [split_of(key, shares, 0) for key in keys]
    assert [split_of(key, shares, 0) for key in reversed(keys)] == drawn[::-1]
    assert drawn != [split_of(key, shares, 1) for key in keys]
    assert 70 < drawn.count("test") < 130
    # a clip of the smaller test set is in the larger one too
    smaller = [split_of(key, {"test": 0.2}, 0) for key in keys]
    assert all(large == "test" for small, large in zip(smaller, drawn, strict=True) if small == "test")


def test_an_empty_split_is_not_named(tmp_path: Path) -> None:
    done = export(run(tmp_path, [full("a")]), tmp_path, "huggingface", options={"split": {"test": 1e-9}})
    assert list(load(done.folder, tmp_path)) == ["train"]
    assert any("no clip came into test" in remark for remark in done.remarks)


def test_same_records_same_bytes_in_any_order(tmp_path: Path) -> None:
    records = [full(f"clip_{i}", label) for i, label in enumerate(("happy", "sad", "proud", "fear"))]
    digests = []
    for seed in range(3):
        random.Random(seed).shuffle(records)
        ledger = run(tmp_path / str(seed), records)
        folder = export(ledger, tmp_path / str(seed), "huggingface").folder
        digests.append({path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()})
    assert digests[0] == digests[1] == digests[2]


def test_records_of_older_runs_can_be_exported(tmp_path: Path) -> None:
    """Fields that came later have their defaults."""
    one = record("a", tone=None)
    done = export(run(tmp_path, [one]), tmp_path, "huggingface")
    row = load(done.folder, tmp_path)["train"][0]
    assert "prosody" not in row and row["rule_scores"] is None


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
