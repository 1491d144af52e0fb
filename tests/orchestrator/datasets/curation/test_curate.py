"""`merrflow curate`: the file it writes, what it shows, what it refuses."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from merrflow.cli.curate import curate as command
from merrflow.cli.curate import show
from merrflow.core.errors import InputError
from merrflow.core.records import Outcome
from merrflow.datasets.curation import read_curation
from merrflow.datasets.curation.config import PACKAGED, config_type, load_config, packaged
from merrflow.datasets.curation.curate import curate
from merrflow.datasets.curation.registry import BUILT_IN
from merrflow.datasets.entries import RECORDS
from merrflow.store import Ledger, StageRow
from tests.orchestrator.datasets.curation.corpus import write
from tests.orchestrator.datasets.report.runs import record

app = typer.Typer()
app.command()(command)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Three clips of which two are the same."""
    records = [record("one"), record("two"), record("[red]three[/]", "sad", sha256="cd" * 32)]
    return write(tmp_path / "run", records)


def test_what_is_kept_and_dropped_is_written_and_read_back(out: Path) -> None:
    assert read_curation(out) is None
    curate(out, packaged())
    found = read_curation(out)
    assert found.kept == {"one", "[red]three[/]"}
    assert found.dropped["two"].reason == "the same bytes as one"
    assert not found.stale
    values = json.loads((out / "curation.json").read_text())
    assert config_type().model_validate_json(json.dumps(values["config"])) == packaged()
    assert [step["filter"] for step in values["counts"]] == list(packaged().order)
    assert [path.name for path in out.glob(".*")] == []  # no half-written file


def test_a_changed_an_added_and_an_unfinished_record_make_it_stale(out: Path) -> None:
    curate(out, packaged())
    ledger = Ledger.in_folder(out)
    again = record("one", "sad")
    ledger.finish_clip("one", "print", StageRow(Outcome.DONE, "", RECORDS.dump_json(again), 2.0))
    assert read_curation(out).stale
    ledger.finish_clip("one", "print", StageRow(Outcome.DONE, "", RECORDS.dump_json(record("one")), 9.0))
    assert not read_curation(out).stale
    ledger.finish_clip("one", "print", StageRow(Outcome.TRUNCATED, "cut", RECORDS.dump_json(record("one")), 2.0))
    assert read_curation(out).stale
    curate(out, packaged())
    assert not read_curation(out).stale
    ledger.close()
    write(out, [record("four", sha256="ef" * 32)])
    assert read_curation(out).stale


@pytest.mark.parametrize("text", ["", "{", '{"version": 1}', '{"version": 1, "records": 3, "kept": [], "dropped": []}'])
def test_a_file_that_is_no_curation_says_what_to_do(out: Path, text: str) -> None:
    (out / "curation.json").write_text(text)
    with pytest.raises(InputError, match=r"curation\.json: cannot be used .*: run merrflow curate again"):
        read_curation(out)


def test_a_file_that_cannot_be_written_is_said_in_one_line(out: Path) -> None:
    (out / "curation.json").mkdir()
    with pytest.raises(InputError, match=r"curation\.json: cannot be written \("):
        curate(out, packaged())
    with pytest.raises(InputError, match=r"curation\.json: cannot be used \(Is a directory\)"):
        read_curation(out)


def test_a_dry_run_writes_nothing_and_shows_each_filter_alone(out: Path) -> None:
    shown = CliRunner().invoke(app, ["--out", str(out), "--dry-run", "--json"])
    assert shown.exit_code == 0, shown.output
    found = json.loads(shown.output)
    assert not (out / "curation.json").exists()
    assert found["written"] is None
    alone = {step["filter"]: step["dropped"] for step in found["alone"]}
    sequence = {step["filter"]: step["dropped"] for step in found["in_sequence"]}
    assert (alone["exact"], sequence["exact"]) == (1, 1)
    assert found["dropped"] == [{"name": "two", "filter": "exact", "reason": "the same bytes as one"}]


def test_names_are_shown_as_they_are(out: Path) -> None:
    console = Console(file=StringIO(), width=160)
    config = packaged()
    caps = config.overabundance.model_copy(update={"caps": {"sad": 0}})
    show(out, curate(out, config.model_copy(update={"overabundance": caps})), False, console)
    text = console.file.getvalue()
    assert "overabundance: [red]three[/]: 1 sad clips" in text
    assert "1 of 3 clips with a record are kept" in text


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run was ever made"):
        curate(tmp_path, packaged())


def test_print_config_is_the_packaged_file_and_can_be_given_back(tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["--print-config"]).output
    assert printed == PACKAGED.read_text(encoding="utf-8")
    own = tmp_path / "own.yaml"
    own.write_text(printed, encoding="utf-8")
    assert load_config(own) == packaged()


def test_the_packaged_file_has_every_section_and_runs_every_filter() -> None:
    assert packaged().model_fields_set == set(config_type().model_fields)
    assert sorted(packaged().order) == sorted(BUILT_IN)


def test_a_file_with_one_section_changes_that_alone(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("seed: 7\norder: [near, exact]\n")
    assert load_config(own) == packaged().model_copy(update={"seed": 7, "order": ("near", "exact")})


BALANCE = "overabundance:\n  caps:\n    {cap}\n  ratio: {ratio}\n  to: median\n  spare: 9\n  keep: draw\n"


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("seed: 1\norder: [exact, dups]\n", 2, "'dups'"),
        ("order:\n  - exact\n  - exact\n", 3, "'exact' occurs twice"),
        ("best: [beauty]\n", 1, "'beauty'"),
        (BALANCE.format(cap="hapy: 5", ratio=2.0), 3, "label 'hapy' is not in the set"),
        (BALANCE.format(cap="happy: -5", ratio=2.0), 3, "-5"),
        (BALANCE.format(cap="happy: 5", ratio=0.5), 4, "0.5"),
        (BALANCE.format(cap='happy: "5"', ratio=2.0), 3, "'5'"),
        ("neutral:\n  label: calmness\n  share: 0.5\n  number: null\n", 2, "label 'calmness' is not in the set"),
        ("neutral:\n  label: neutral\n  share: 1.5\n  number: null\n", 3, "1.5"),
        ("\nvalence:\n  happy: nice\n  neutral: either\n", 3, "'nice'"),
        ("tone:\n  contradicted: 1\n  share_at_least: 0.5\n", 2, "unknown key"),
        ("duplicates: {}\n", 1, "unknown key"),
    ],
)
def test_a_bad_file_is_named_with_line_and_value(tmp_path: Path, text: str, line: int, told: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(text)
    with pytest.raises(InputError) as error:
        load_config(own)
    assert f"{own}, line {line}: " in str(error.value)
    assert told in str(error.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")
