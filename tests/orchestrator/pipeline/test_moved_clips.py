"""Runs over clips that were moved, renumbered or copied since the last one."""

from __future__ import annotations

import json

import pytest

from merrflow.core.errors import InputError
from merrflow.core.inputs import Found
from merrflow.pipeline.table_names import check_renamed, check_table
from tests.orchestrator.fakes import calls, fake_services, make_video
from tests.orchestrator.pipeline.test_pipeline import annotate


@pytest.fixture
def clips(tmp_path):
    for number, color in enumerate(("red", "grey", "red"), 1):
        make_video(tmp_path / f"clips/{number}.mp4", color, frames=11 + number, seed=number)
    return tmp_path / "clips"


def renumber(clips):
    for number in (3, 2, 1):
        (clips / f"{number}.mp4").rename(clips / f"{number + 1}.mp4")


def files_of(out):
    """Name -> (path, sha256) of every record."""
    rows = map(json.loads, (out / "records.jsonl").read_text().splitlines())
    return {row["name"]: row["path"] for row in rows}


async def test_renumbered_clips_are_the_same_clips(tmp_path, clips, caplog):
    out = tmp_path / "out"
    async with fake_services() as addresses:
        await annotate([clips], out, addresses, neutral_sample=1.0)
        merr = (out / "merr/MERR_fine_grained.json").read_bytes()
        renumber(clips)
        calls.clear()
        summary = await annotate([clips], out, addresses, neutral_sample=1.0)
    assert not calls and (summary.clips, summary.worked) == (3, 0)
    assert (out / "merr/MERR_fine_grained.json").read_bytes() == merr
    assert files_of(out) == {str(number): str(clips / f"{number + 1}.mp4") for number in (1, 2, 3)}
    assert [line for line in caplog.messages if "3 clips were moved or renamed" in line]


async def test_the_same_folder_through_a_link_is_the_same_dataset(tmp_path, clips):
    (tmp_path / "link").symlink_to(clips)
    out = tmp_path / "out"
    async with fake_services() as addresses:
        await annotate([clips], out, addresses)
        calls.clear()
        for inputs in ([tmp_path / "link"], [clips, tmp_path / "link"]):
            summary = await annotate(inputs, out, addresses)
            assert (summary.clips, summary.worked) == (3, 0)
    assert not calls and set(files_of(out)) == {"1", "3"}


async def test_a_copy_is_described_from_what_was_measured_of_the_original(tmp_path, clips):
    out = tmp_path / "out"
    async with fake_services() as addresses:
        await annotate([clips], out, addresses)
        (clips / "copy.mp4").write_bytes((clips / "1.mp4").read_bytes())
        calls.clear()
        assert (await annotate([clips], out, addresses)).worked == 1
        assert not {"openface-au", "minigpt-v2", "qwen-audio"} & set(calls), "only its phrases may differ"
        calls.clear()
        assert (await annotate([clips / "copy.mp4"], out, addresses, seed=1)).worked == 1
        assert set(calls) == {"llama3"}, "and now they are its own"
    assert set(files_of(out)) == {"1", "3", "copy"}


async def test_a_table_that_may_mean_two_clips_is_refused_and_one_with_paths_is_not(tmp_path, clips):
    table, out = tmp_path / "t.csv", tmp_path / "out"
    table.write_text("name,sentence\n1,One.\n2,Two.\n3,Three.\n")
    async with fake_services() as addresses:
        await annotate([clips], out, addresses, table)
        renumber(clips)
        table.write_text("name,sentence\n2,One.\n3,Two.\n4,Three.\n")
        with pytest.raises(InputError, match=r"t\.csv: the file of clip '1' was renamed .* column `path`") as told:
            await annotate([clips], out, addresses, table)
        assert "\n" not in str(told.value)
        table.write_text("path,sentence\nclips/2.mp4,One.\nclips/3.mp4,Two.\nclips/4.mp4,Three.\n")
        calls.clear()
        summary = await annotate([table], out, addresses)
    assert (summary.clips, summary.worked, dict(calls)) == (3, 0, {})


def test_which_rows_say_what_clip_they_mean(tmp_path):
    def check(names: dict[str, str], *rows: str, gone: str = "") -> None:
        """names: file -> name of its clip. gone: a clip of an earlier run."""
        paths = {tmp_path / file: name for file, name in names.items()}
        found = [Found(path) for path in paths]
        paths[tmp_path / "gone"] = gone
        check_renamed({row: row for row in rows}.get, paths, found, "t.csv")

    check({"x/a.mp4": "a", "y/a.mp4": "y__a"}, "a", "y__a")  # named by their folders, not renamed
    check({"y/a.mp4": "y__a"}, "a", "y__a")
    check({"b.mp4": "a"}, "a")  # renamed, and only one name is in the table
    check({"b.mp4": "a"}, "b")
    check({"b.mp4": "a", "c.mp4": "c"}, "b", "c")
    for names, rows in (
        ({"b.mp4": "a"}, ("a", "b")),
        ({"b.mp4": "a", "c.mp4": "b"}, ("b",)),
        ({"b.mp4": "a", "a.mp4": "x__a"}, ("a",)),
        ({"b.mp4": "a", "a.mp4": "b"}, ("a", "b")),
    ):
        with pytest.raises(InputError, match=r"t\.csv: .*'a' and 'b' may each mean|'b' and 'c' may each"):
            check(names, *rows)
    with pytest.raises(InputError, match="'a' and 'b' may each mean"):
        check({"b.mp4": "a"}, "b", gone="b")
    both = {"a": "the same", "b": "the same"}
    check_table(both, {tmp_path / "b.mp4": "a"}, [Found(tmp_path / "b.mp4")], "t.csv")
