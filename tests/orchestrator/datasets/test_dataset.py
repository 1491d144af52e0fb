"""`merrflow.open`: the records of a folder as Python objects, and one clear line for what cannot be read."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import merrflow
from merrflow.core.records import Outcome
from merrflow.core.texts import Reasoning
from merrflow.datasets.dataset import Missing
from tests.orchestrator.datasets.report.runs import record, run
from tests.paths import ROOT


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Three records, a skipped clip, a failed one, and one that is not finished."""
    dropped = [
        ("faceless", Outcome.SKIPPED, "no face in any frame"),
        ("broken", Outcome.FAILED, "not a video"),
        ("waiting", None, ""),
    ]
    records = [record("b", "sad"), record("a", "happy"), record("c", "happy", missing={"tone": "no sound track"})]
    run(tmp_path, records, dropped).close()
    return tmp_path


def test_records_with_their_outcome_by_name(out):
    with merrflow.open(out) as dataset:
        found = list(dataset)
        assert len(dataset) == 3 and [entry.record.name for entry in found] == ["a", "b", "c"]
        assert all(isinstance(entry, merrflow.Entry) and isinstance(entry.record, merrflow.Record) for entry in found)
        assert {entry.outcome for entry in found} == {merrflow.Outcome.DONE}
        assert isinstance(found[0].record.reasoning, Reasoning)
        assert found[2].record.missing == {"tone": "no sound track"}


def test_one_clip_by_its_name(out):
    with merrflow.open(str(out)) as dataset:
        assert dataset["b"].record.label.label == "sad"
        assert "b" in dataset and "broken" not in dataset and 7 not in dataset
        for name in ("broken", "nowhere"):
            with pytest.raises(KeyError, match=f"no clip '{name}' with a record"):
                dataset[name]


def test_filter(out):
    def names(*arguments, **wanted) -> list[str]:
        return [entry.record.name for entry in dataset.filter(*arguments, **wanted)]

    with merrflow.open(out) as dataset:
        assert names() == ["a", "b", "c"]
        assert names(label="happy") == ["a", "c"] and names(label="furious") == []
        assert names(outcome="done") == names(outcome=Outcome.DONE) == ["a", "b", "c"]
        assert names(outcome="truncated") == []
        assert names(lambda entry: bool(entry.record.missing), label="happy") == ["c"]
        with pytest.raises(merrflow.InputError, match="there is no outcome 'fine'; the outcomes are: done, skipped"):
            dataset.filter(outcome="fine")


def test_the_clips_without_a_record_and_why(out):
    with merrflow.open(out) as dataset:
        assert dataset.missing() == [
            Missing("broken", Outcome.FAILED, "not a video"),
            Missing("faceless", Outcome.SKIPPED, "no face in any frame"),
            Missing("waiting", None, ""),
        ]


def test_an_unfinished_dataset_is_read_as_it_grows(tmp_path):
    ledger = run(tmp_path, [record("a")], [("b", None, "")])
    with merrflow.open(tmp_path) as dataset:
        assert len(dataset) == 1 and [clip.name for clip in dataset.missing()] == ["b"]
        from merrflow.datasets.entries import RECORDS
        from merrflow.store import StageRow

        late = replace(record("a"), name="b")
        ledger.finish_clip("b", "print", StageRow(Outcome.DONE, "", RECORDS.dump_json(late), 1.0))
        assert len(dataset) == 2 and dataset["b"].record.name == "b" and dataset.missing() == []
    ledger.close()


def test_nothing_in_the_folder_changes_by_reading(out):
    def seen() -> dict[str, bytes]:
        files = [path for path in out.rglob("*") if path.is_file() and "-shm" not in path.name]
        return {path.name: path.read_bytes() for path in files}

    before = seen()
    with merrflow.open(out) as dataset:
        list(dataset), dataset.missing(), dataset["a"], list(dataset.filter(label="sad"))
    after = seen()
    assert {name for name in after if after[name] != before.get(name)} <= {"ledger.db-wal"}, "SQLite's own"


def test_curate_and_export(out, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "csv"
    with merrflow.open(out) as dataset:
        shown = dataset.curate(dry_run=True)
        assert not (out / "curation.json").exists()
        chosen = dataset.curate()
        assert chosen.kept == shown.kept and (out / "curation.json").is_file()
        done = dataset.export("csv", folder, everything=True)
        assert (done.records, done.folder) == (3, folder) and (folder / "clips.csv").is_file()
        assert dataset.export("merr").folder == out / "export" / "merr"
        with pytest.raises(merrflow.InputError, match="^the format 'parquet' is not known; there are: .*merr-strict"):
            dataset.export("parquet")
        with pytest.raises(merrflow.InputError, match="the format csv has no option 'split'"):
            dataset.export("csv", split="test=0.1")
        with pytest.raises(merrflow.InputError, match="^the format huggingface: split test: name a part and its share"):
            dataset.export("huggingface", split="test")


def test_the_pages_example_runs(out, capsys):
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(code.replace("out/", str(out)), {})
    said = capsys.readouterr().out
    assert (
        "3 clips have a record" in said and "a 0.8 This person smiles" in said and "broken failed not a video" in said
    )
    assert said.strip().endswith(str(out / "export/csv"))


def test_an_empty_dataset(tmp_path):
    run(tmp_path).close()
    with merrflow.open(tmp_path) as dataset:
        assert (len(dataset), list(dataset), dataset.missing()) == (0, [], [])
        with pytest.raises(merrflow.InputError, match="no clip has a record yet"):
            dataset.export("csv")


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, Path.touch], ids=["nothing", "folder", "file"])
def test_a_folder_without_a_ledger(tmp_path, make):
    make(tmp_path / "out")
    with pytest.raises(merrflow.InputError, match="no run was ever made into this folder") as refused:
        merrflow.open(tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out" / "ledger.db").exists()


@pytest.mark.parametrize("given", [None, 5, "", b"out", "a\0b"], ids=ascii)
def test_what_is_no_folder(given):
    with pytest.raises(merrflow.InputError, match="^out: a path is wanted, not ") as refused:
        merrflow.open(given)
    assert str(refused.value).isprintable()


def test_arguments_of_another_type(out):
    with merrflow.open(out) as dataset:
        for call, why in (
            (lambda: dataset.filter("happy"), "where: a function of an entry is wanted, not 'happy'"),
            (lambda: dataset.filter(label=5), "label: a text is wanted, not 5"),
            (lambda: dataset.curate(5), "config: a path is wanted, not 5"),
            (lambda: dataset.export(5), "format: a text is wanted, not 5"),
            (lambda: dataset.export("csv", 5), "folder: a path is wanted, not 5"),
            (lambda: dataset.export("csv", "a\0b"), r"folder: a path is wanted, not 'a\x00b'"),
        ):
            with pytest.raises(merrflow.InputError) as refused:
                call()
            assert str(refused.value) == why


def test_a_ledger_that_is_none(tmp_path):
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 100)
    with pytest.raises(merrflow.InputError, match="not a ledger that can be read") as refused:
        merrflow.open(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_closed_dataset(out):
    with merrflow.open(out) as dataset:
        pass
    dataset.close()  # again
    for use in (
        lambda: len(dataset),
        lambda: iter(dataset),
        lambda: dataset["a"],
        lambda: "a" in dataset,
        lambda: list(dataset.filter(label="sad")),
        dataset.missing,
        dataset.curate,
        lambda: dataset.export("csv"),
        dataset.__enter__,
    ):
        with pytest.raises(merrflow.InputError, match=f"{out}: this dataset is closed"):
            use()


def test_one_that_is_closed_while_it_is_read(out):
    dataset = merrflow.open(out)
    begun, not_begun = iter(dataset), dataset.filter(label="happy")
    assert next(begun).record.name == "a"
    dataset.close()
    for reading in (begun, not_begun):
        with pytest.raises(merrflow.InputError, match="this dataset is closed"):
            next(reading)
