"""The Hugging Face export, read with the `datasets` library, which is not to reach the network."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}  # read when the library is imported

from merrflow.core.measurements import ShownFrame
from merrflow.core.records import Outcome, Record
from merrflow.core.spoken import Subtitle, Translation
from merrflow.core.texts import Claim, Origin
from merrflow.datasets.entries import Entry
from merrflow.datasets.export import shards
from merrflow.datasets.export.card import plain
from merrflow.datasets.export.export import export
from merrflow.datasets.export.huggingface import HuggingFaceOptions, ParquetDataset, split_of
from merrflow.datasets.export.vocabulary import vocabulary
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


def test_a_translation_has_its_column(tmp_path: Path) -> None:
    said = Subtitle("我不知道", "srt", "zh", "")
    one = replace(record("a"), subtitle=said, translation=Translation("I don't know.", "zh"))
    first, second = load(export(run(tmp_path, [one, record("b")]), tmp_path, "huggingface").folder, tmp_path)["train"]
    assert (first["subtitle"], first["subtitle_en"], second["subtitle_en"]) == ("我不知道", "I don't know.", None)


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
    assert "| scene | csv | m | 3 |\n" in card and "\n- csv, m, r\n" in card and "of b" not in card
    assert "3 claims supported, 0 contradicted, 6 undecided, 0 not measured" in card


def test_notes_and_checksums_of_engines_are_beside_the_table_and_once(tmp_path: Path) -> None:
    note, checksum = "what it is not " * 20, "0123456789abcdef" * 4
    origin = Origin("llamacpp", "a-model", f"sha256:{checksum}", "", note, 0.0, 0.0)
    one = record("a", origins={"reasoning": origin, "score_all": origin})
    card = (export(run(tmp_path, [one]), tmp_path, "huggingface").folder / "README.md").read_text(encoding="utf-8")
    table = [line for line in card.splitlines() if line.startswith(("| reasoning |", "| score\\_all |"))]
    assert len(table) == 2 and max(map(len, table)) < 80
    (line,) = [line for line in card.splitlines() if line.startswith("- llamacpp")]
    assert line == f"- llamacpp, a-model, sha256:{checksum[:16]}…: {note.strip()}"


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
