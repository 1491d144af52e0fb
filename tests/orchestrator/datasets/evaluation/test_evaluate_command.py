"""`merrflow evaluate`: its files, tables and errors."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

import cv2
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from merrflow.cli.evaluate import evaluate, measure, show
from merrflow.core.errors import InputError
from tests.orchestrator.datasets.report.runs import many, record, run

app = typer.Typer()
app.command()(evaluate)
KEYS = {
    "peak_index": "22",
    "peak_AU_list": ["AU04", "AU12"],
    "AU_list": ["AU12"],
    "visual_prior_list": ["[bold]Big[/bold] \x1b[31msmile"],
    "smp_reason_caption": "One smiles.",
}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    run(tmp_path / "out", many(30)).close()
    return tmp_path / "out"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The same clips as MERR has them: two frames later, each third of them sad."""
    labels = ("happy", "sad", "sad")
    clips = {f"clip_{i:05}": KEYS | {"pseu_emotion": labels[i % 3]} for i in range(30)}
    (tmp_path / "merr.json").write_text(json.dumps(clips))
    return tmp_path / "merr.json"


def test_a_run_gets_its_json_and_picture(out: Path, file: Path) -> None:
    result = CliRunner().invoke(app, ["--out", str(out), "--against", str(file)], catch_exceptions=False)
    assert result.exit_code == 0
    for text in ("30 clips in both", "AU04", "66.7 % of 30", "evaluation.json", "evaluation.png"):
        assert text in result.output
    found = json.loads((out / "evaluation.json").read_text())
    assert found["against"] == "merr.json" and found["rules"] is None
    assert found["run"]["peak"]["median_difference"] == -2.0
    assert found["run"]["labels"]["accuracy"]["hits"] == 20
    assert found["run"]["units"]["micro"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    picture = cv2.imread(str(out / "evaluation.png"))
    assert picture.shape[1] > 1500 and picture.std() > 20
    assert not list(out.glob(".*.part"))


def test_the_same_results_give_the_same_bytes(out: Path, file: Path, tmp_path: Path) -> None:
    arguments = ["--out", str(out), "--against", str(file), "--rules", "merr", "--json"]
    bytes_ = []
    for picture in ("a.svg", "b.svg"):
        result = CliRunner().invoke(app, [*arguments, "--picture", str(tmp_path / picture)], catch_exceptions=False)
        bytes_.append((result.stdout, (out / "evaluation.json").read_bytes(), (tmp_path / picture).read_bytes()))
    assert bytes_[0] == bytes_[1]
    assert json.loads(bytes_[0][0]) == json.loads(bytes_[0][1])
    assert not (out / "evaluation.png").exists()  # drawn elsewhere
    texts = " ".join(ElementTree.fromstring(bytes_[0][2]).itertext())
    assert "20 of 30 right" in texts and "merr 1" in texts


def test_rules_alone_write_nothing_unless_asked(file: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    result = CliRunner().invoke(
        app, ["--rules", "merr", "--rules", "default", "--against", str(file)], catch_exceptions=False
    )
    assert result.exit_code == 0
    for text in ("merr 1", "default 2", "ceiling", "one label for all"):
        assert text in result.output
    assert set(tmp_path.iterdir()) == before


def test_text_of_files_is_shown_as_it_stands(file: Path) -> None:
    shown = io.StringIO()
    show(measure(file, None, ("merr",)), Console(file=shown, force_terminal=True, width=200))
    assert "[bold]Big[/bold] \\x1b[31msmile" in shown.getvalue()


@pytest.mark.parametrize(
    ("out", "rules", "picture", "told"),
    [
        (None, (), None, "say what to measure"),
        (None, ("merr",), "p.jpg", "must end in .png or .svg"),
        (None, ("nothing",), None, "there is no rule set 'nothing'"),
        ("empty", (), None, "no run was ever made into this folder"),
    ],
)
def test_unusable_arguments_are_said(
    file: Path, tmp_path: Path, out: str | None, rules: tuple[str, ...], picture: str | None, told: str
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=told):
        measure(file, tmp_path / out if out else None, rules, Path(picture) if picture else None)
    assert not list((tmp_path / "empty").iterdir())


def test_names_from_files_are_no_markup_and_no_formula(out: Path, file: Path, tmp_path: Path) -> None:
    strange = file.rename(tmp_path / "a$b$[red]_{x}.json")
    arguments = ["--out", str(out), "--against", str(strange), "--rules", "merr", "--picture", str(tmp_path / "p.svg")]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    assert strange.name in " ".join(ElementTree.parse(tmp_path / "p.svg").getroot().itertext())


def test_a_file_name_that_is_no_text_is_escaped(out: Path, file: Path) -> None:
    try:
        strange = file.rename(file.with_name("\udcff.json"))
    except (OSError, UnicodeError):
        pytest.skip("this disk takes names in UTF-8 only")
    assert (
        CliRunner().invoke(app, ["--out", str(out), "--against", str(strange)], catch_exceptions=False).exit_code == 0
    )
    assert json.loads((out / "evaluation.json").read_text())["against"] == "escaped:%FF.json"


def test_a_place_that_cannot_be_written_is_said(out: Path, file: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    result = CliRunner().invoke(
        app, ["--rules", "merr", "--against", str(file), "--picture", str(tmp_path / "taken" / "p.png")]
    )
    assert isinstance(result.exception, InputError) and "cannot be written" in str(result.exception)


def test_a_file_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        measure(tmp_path / "none.json", None, ("merr",))


def test_one_clip_is_enough(tmp_path: Path) -> None:
    run(tmp_path / "out", [record("clip_00000")]).close()
    (tmp_path / "f.txt").write_text("clip_00000 50 happy\n")
    found = measure(tmp_path / "f.txt", tmp_path / "out", ())
    shown = io.StringIO()
    show(found, Console(file=shown, width=160))
    assert "1 clip in both" in shown.getvalue() and "too few to judge by" in shown.getvalue()
    assert asdict(found)["run"]["labels"]["accuracy"] == {"hits": 1, "total": 1}
