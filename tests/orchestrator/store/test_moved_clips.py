"""Names follow files: folders that are renamed, clips that are renumbered, swapped, copied or merged."""

from __future__ import annotations

import os
import shutil
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from merrflow.core.inputs import assign_names
from merrflow.core.paths import text_path
from merrflow.core.records import Outcome
from merrflow.formats.clip_list import find_clips
from merrflow.store import Ledger, StageRow
from merrflow.store.database import connect
from merrflow.store.moved_clips import REPLACED
from merrflow.store.registration import hash_of

_time = count(1_600_000_000)


@pytest.fixture
def dataset(tmp_path, ledger_url):
    ledger = Ledger.in_folder(tmp_path, ledger_url)
    yield Dataset(tmp_path, ledger)
    ledger.close()


class Dataset:
    """Files below `clips/`, and a ledger."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.clips = folder / "clips"
        self.ledger = ledger

    def put(self, files: dict[str, str]) -> None:
        """These files and no others. What was there before keeps its time if its bytes move to another name."""
        times = {path.read_bytes(): path.stat().st_mtime for path in self.clips.rglob("*.mp4")}
        shutil.rmtree(self.clips, ignore_errors=True)
        for name, text in files.items():
            path = self.clips / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            at = times.get(path.read_bytes()) or next(_time)
            os.utime(path, (at, at))

    def run(self, *inputs: str | Path) -> dict[str, str]:
        """Registers as a run does; name -> file, of all clips."""
        found = find_clips(inputs or [self.clips])
        self.ledger.follow_moved(found)
        self.ledger.register(found, assign_names(found, self.ledger.path_texts()))
        return {name: self.shown(path) for name, path in self.ledger.names().items()}

    def shown(self, path: Path) -> str:
        if str(path).startswith(REPLACED):
            return "replaced"
        return str(path.relative_to(self.clips)) + ("" if path.exists() else " (gone)")


CASES = {
    "a folder with identical clips is renamed": (
        {"x/1.mp4": "same", "x/2.mp4": "same", "x/3.mp4": "C"},
        {"y/1.mp4": "same", "y/2.mp4": "same", "y/3.mp4": "C"},
        {"1": "y/1.mp4", "2": "y/2.mp4", "3": "y/3.mp4"},
    ),
    "folders with identical clips of one name are moved": (
        {"x/a/c.mp4": "same", "x/b/c.mp4": "same", "x/d.mp4": "same"},
        {"y/b/c.mp4": "same", "y/a/c.mp4": "same", "y/d.mp4": "same"},
        {"a__c": "y/a/c.mp4", "b__c": "y/b/c.mp4", "d": "y/d.mp4"},
    ),
    "identical clips are renumbered": (
        {f"{number}.mp4": "same" for number in (8, 9, 10)},
        {f"{number}.mp4": "same" for number in (18, 19, 20)},
        {"8": "18.mp4", "9": "19.mp4", "10": "20.mp4"},
    ),
    "renumbered": (
        {"1.mp4": "A", "2.mp4": "B", "3.mp4": "C"},
        {"2.mp4": "A", "3.mp4": "B", "4.mp4": "C"},
        {"1": "2.mp4", "2": "3.mp4", "3": "4.mp4"},
    ),
    "renumbered with a new clip before them": (
        {"1.mp4": "A", "2.mp4": "B"},
        {"1.mp4": "new", "2.mp4": "A", "3.mp4": "B"},
        {"clips__1": "1.mp4", "1": "2.mp4", "2": "3.mp4"},
    ),
    "renumbered after one was deleted": (
        {"1.mp4": "A", "2.mp4": "B", "3.mp4": "C"},
        {"1.mp4": "B", "2.mp4": "C"},
        {"1": "replaced", "2": "1.mp4", "3": "2.mp4"},
    ),
    "swapped": ({"a.mp4": "A", "b.mp4": "B"}, {"a.mp4": "B", "b.mp4": "A"}, {"a": "b.mp4", "b": "a.mp4"}),
    "swapped, of one length": (
        {"a.mp4": "AA", "b.mp4": "BB", "c.mp4": "CC"},
        {"a.mp4": "BB", "b.mp4": "CC", "c.mp4": "AA"},
        {"a": "c.mp4", "b": "a.mp4", "c": "b.mp4"},
    ),
    "a copy is kept under both names": (
        {"a.mp4": "A"},
        {"a.mp4": "A", "b.mp4": "A"},
        {"a": "a.mp4", "b": "b.mp4"},
    ),
    "renamed, and a copy made": (
        {"a.mp4": "A"},
        {"b.mp4": "A", "c.mp4": "A"},
        {"a": "b.mp4", "c": "c.mp4"},
    ),
    "overwritten by a copy of another": (
        {"a.mp4": "A", "b.mp4": "B"},
        {"a.mp4": "B", "b.mp4": "B"},
        {"a": "a.mp4", "b": "b.mp4"},
    ),
    "new bytes": ({"a.mp4": "A", "b.mp4": "B"}, {"a.mp4": "new", "b.mp4": "B"}, {"a": "a.mp4", "b": "b.mp4"}),
    "two folders merged": (
        {"x/1.mp4": "A", "x/2.mp4": "B", "y/1.mp4": "C"},
        {"z/1.mp4": "A", "z/2.mp4": "B", "z/3.mp4": "C"},
        {"x__1": "z/1.mp4", "2": "z/2.mp4", "y__1": "z/3.mp4"},
    ),
    "deleted": ({"a.mp4": "A", "b.mp4": "B"}, {"a.mp4": "A"}, {"a": "a.mp4", "b": "b.mp4 (gone)"}),
}


@pytest.mark.parametrize("case", CASES)
def test_each_name_follows_its_own_file(dataset, case):
    before, after, expected = CASES[case]
    dataset.put(before)
    names = dataset.run()
    texts = {name: (dataset.clips / file).read_text() for name, file in names.items()}
    for name in names:
        dataset.ledger.finish_clip(name, "print", StageRow(Outcome.DONE, "", name.encode(), 1.0))
    dataset.put(after)
    assert dataset.run() == expected
    assert dataset.run() == expected, "and then it stays so"
    kept = {name: row.payload for name, row in dataset.ledger.records()}
    assert kept == {name: name.encode() for name in texts}, "no record is lost or made twice"
    if not case.startswith(("new bytes", "overwritten")):
        there = {name: file for name, file in expected.items() if name in texts and (dataset.clips / file).exists()}
        assert {name: (dataset.clips / file).read_text() for name, file in there.items()} == {
            name: texts[name] for name in there
        }


@pytest.mark.parametrize("case", ["renumbered", "swapped", "two folders merged"])
def test_files_that_have_moved_are_said_in_one_line(dataset, case, caplog):
    before, after, _ = CASES[case]
    dataset.put(before)
    dataset.run()
    assert not caplog.messages
    dataset.put(after)
    dataset.run()
    (line,) = caplog.messages
    assert line.startswith(f"{len(before)} clips were moved or renamed") and "\n" not in line
    dataset.run()
    assert len(caplog.messages) == 1


def test_a_run_over_a_part_of_the_folder_leaves_the_others_alone(dataset):
    dataset.put({"1.mp4": "A", "2.mp4": "B", "3.mp4": "C"})
    dataset.run()
    dataset.put({"2.mp4": "A", "3.mp4": "B", "4.mp4": "C"})
    assert dataset.run(dataset.clips / "3.mp4") == {"1": "1.mp4 (gone)", "2": "3.mp4", "3": "replaced"}
    assert dataset.run(dataset.clips / "2.mp4") == {"1": "2.mp4", "2": "3.mp4", "3": "replaced"}
    assert dataset.run() == {"1": "2.mp4", "2": "3.mp4", "3": "4.mp4"}


def test_names_of_a_table_decide_which_of_two_identical_clips_is_which(dataset, tmp_path):
    def table(rows: dict[str, str]) -> Path:
        path = tmp_path / "list.csv"
        path.write_text("path,name\n" + "".join(f"clips/{file},{name}\n" for file, name in rows.items()))
        return path

    dataset.put({"v1.mp4": "same", "v2.mp4": "same", "v3.mp4": "C"})
    assert dataset.run(table({"v1.mp4": "ann", "v2.mp4": "bob", "v3.mp4": "eve"}))["ann"] == "v1.mp4"
    dataset.put({"w1.mp4": "same", "w2.mp4": "same", "v1.mp4": "C"})
    renamed = {"ann": "w2.mp4", "bob": "w1.mp4", "eve": "v1.mp4"}
    assert dataset.run(table({"w1.mp4": "bob", "w2.mp4": "ann", "v1.mp4": "eve"})) == renamed


def test_the_same_folder_through_a_link_is_the_same_clips(dataset, tmp_path):
    dataset.put({"a.mp4": "A", "x/b.mp4": "B"})
    names = set(dataset.run())
    (tmp_path / "link").symlink_to(dataset.clips)
    dataset.ledger.follow_moved(found := find_clips([tmp_path / "link"]))
    assert set(assign_names(found, dataset.ledger.path_texts()).values()) == names
    assert dataset.ledger.names()["a"] == tmp_path / "link/a.mp4", "as it was given last"
    (tmp_path / "link").unlink()
    assert dataset.run() == {"a": "a.mp4", "b": "x/b.mp4"}
    assert len(find_clips([dataset.clips, dataset.clips / "x"])) == 2


def test_links_to_files_by_their_hash_keep_their_own_names(dataset, tmp_path):
    """As git-annex and DVC have it: two files with the same bytes link to one object."""
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects/6d6f.mp4").write_text("same")
    dataset.clips.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (dataset.clips / name).symlink_to(tmp_path / "objects/6d6f.mp4")
    assert dataset.run() == {"a": "a.mp4", "b": "b.mp4"}
    (tmp_path / "chosen").mkdir()
    (tmp_path / "chosen/a.mp4").symlink_to(dataset.clips / "a.mp4")
    assert len(find_clips([dataset.clips, tmp_path / "chosen"])) == 2, "a selection by links is no second dataset"


def test_a_file_is_read_only_if_it_may_be_one_that_left(dataset, monkeypatch):
    read = []
    monkeypatch.setattr("merrflow.store.moved_clips.hash_of", lambda path: read.append(path.name) or "another")
    dataset.put({"a.mp4": "A", "b.mp4": "BB"})
    dataset.run()
    dataset.put({"a.mp4": "A", "c.mp4": "CCC", "d.mp4": "DD"})
    dataset.run()
    assert read == ["d.mp4"]


def test_a_file_that_cannot_be_looked_at_has_not_moved(dataset, monkeypatch):
    dataset.put({"a.mp4": "A"})
    dataset.run()
    shutil.copy(dataset.clips / "a.mp4", dataset.clips / "b.mp4")
    (dataset.clips / "a.mp4").unlink()
    (dataset.clips / "a.mp4").symlink_to("a.mp4")  # a loop: an error that is not "no such file"
    assert dataset.run(dataset.clips / "b.mp4") == {"a": "a.mp4 (gone)", "b": "b.mp4"}


def test_results_of_the_same_bytes_are_found_under_any_name(dataset):
    dataset.put({"a.mp4": "A", "b.mp4": "B"})
    dataset.run()
    dataset.ledger.save_stage("a", "tone", "f1", StageRow(Outcome.DONE, "", b"of a", 1.0))
    dataset.ledger.save_stage("b", "tone", "f2", StageRow(Outcome.DONE, "", b"of b", 1.0))
    dataset.ledger.finish_clip("a", "print", StageRow(Outcome.DONE, "", b"record", 1.0))
    dataset.put({"a.mp4": "A", "b.mp4": "B", "c.mp4": "A"})
    dataset.run()
    (copy,) = dataset.ledger.named(["c"])
    rows = dataset.ledger.stages(copy)
    assert set(rows) == {("tone", "f1")} and rows["tone", "f1"].clip == "a", "its record is its own"
    dataset.ledger.save_stage("c", "tone", "f1", StageRow(Outcome.DONE, "", b"own", 1.0))
    assert dataset.ledger.stages(copy)["tone", "f1"].clip == "c"


files = st.dictionaries(st.sampled_from(["1.mp4", "2.mp4", "3.mp4", "x/1.mp4"]), st.sampled_from("ABCD"), min_size=1)


@given(st.lists(files, min_size=2, max_size=5))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_to_the_files_no_clip_is_forgotten_and_none_is_two(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("dataset")
    ledger = Ledger.in_folder(folder)
    dataset = Dataset(folder, ledger)
    known: dict[str, str] = {}  # name -> hash of its bytes
    for step in steps:
        dataset.put(step)
        names = dataset.run()
        assert dataset.run() == names
        assert sorted(file for file in names.values() if (dataset.clips / file).exists()) == sorted(step)
        now = {row.clip.name: row.clip.sha256 for row in ledger.clips()}
        assert known.keys() <= now.keys()
        for name, sha256 in known.items():
            if now[name] != sha256:  # it has new bytes, because nothing was left of its own
                there = [file for file in step if hash_of(dataset.clips / file) == sha256]
                keepers = [other for other, its in now.items() if its == known.get(other) == sha256]
                assert len(there) <= len(keepers)
        for name, file in names.items():
            if (dataset.clips / file).exists():
                assert now[name] == hash_of(dataset.clips / file)
        known = now
    ledger.close()


def test_a_ledger_of_the_first_version_gets_the_index(dataset):
    dataset.put({"a.mp4": "A"})
    dataset.run()
    engine = connect(dataset.ledger.location)
    with engine.begin() as db:
        db.execute(sa.text("DROP INDEX clips_sha256"))
    assert dataset.run() == {"a": "a.mp4"}
    assert [index["name"] for index in sa.inspect(engine).get_indexes("clips")].count("clips_sha256") == 1
    engine.dispose()


def test_a_ledger_with_a_path_that_is_no_text_follows_it(dataset):
    odd = os.fsdecode(b"caf\xe9.mp4")
    dataset.put({"a.mp4": "A"})
    dataset.run()
    (dataset.clips / "a.mp4").rename(dataset.clips / odd)
    assert dataset.run() == {"a": odd}
    (dataset.clips / odd).rename(dataset.clips / "b.mp4")
    assert dataset.run() == {"a": "b.mp4"}
    assert text_path("replaced:/x (a)") == Path("replaced:/x (a)")
