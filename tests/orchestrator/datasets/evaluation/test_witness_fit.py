"""Fitting witnesses to labels that people gave: what is learnt, measured on held-out clips, refused and written."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from merrflow.cli import fit_witnesses as command
from merrflow.cli.rules import app
from merrflow.core.errors import InputError
from merrflow.core.labels import Standing, Verdict, Vote
from merrflow.core.records import Record
from merrflow.datasets.evaluation.witness_fit import FOLDS, Judged, _folds, fit_witnesses, judged, silent
from merrflow.stages.witnesses.rules import Witnesses, load_witnesses
from tests.orchestrator.datasets.curation.corpus import write
from tests.orchestrator.datasets.report.runs import record

LIKE = load_witnesses()


def votes(draw: random.Random, right: bool) -> tuple[Vote, ...]:
    """Words that are nearly always right, and Action Units that are right as often as a coin."""
    for_words = draw.random() < (0.95 if right else 0.05)
    for_units = draw.random() < 0.5
    return (
        Vote("units", "for" if for_units else "against", "", 0.6, ""),
        Vote("words", "for" if for_words else "against", "", 0.5, ""),
        Vote("voice", "abstains", "", 0.0, "no speech was measured"),
    )


def clips(number: int = 200, seed: int = 1) -> list[Judged]:
    draw = random.Random(seed)
    return [Judged(f"{n:064x}", "happy", votes(draw, n % 2 == 0), n % 2 == 0) for n in range(number)]


def fitted(found: list[Judged]) -> Witnesses:
    return fit_witnesses(found, LIKE, "mine", "labels.csv", "ab" * 32)


def test_what_is_right_gains_weight_and_a_coin_loses_it() -> None:
    found = fitted(clips())
    assert found.words.weight > 0.5 + 0.2 and found.units.weight < 0.6 - 0.2
    assert found.units.strong_weight / found.units.weight == pytest.approx(0.8 / 0.6, rel=0.1)
    assert found.voice == LIKE.voice and found.expression == LIKE.expression  # which did not speak


def test_held_out_figures_are_beside_those_of_the_defaults() -> None:
    fit = fitted(clips()).fit
    assert fit is not None and fit.records == {"happy": 200}
    assert fit.contradicted.precision is not None and fit.contradicted.precision > 0.85
    assert fit.contradicted.recall is not None and fit.default_contradicted.recall is not None
    assert fit.contradicted.recall > fit.default_contradicted.recall + 0.2


def test_a_coin_is_no_evidence_held_out() -> None:
    """Votes that know nothing give no precision on clips that were not fitted to."""
    draw = random.Random(2)
    found = [replace(clip, votes=votes(draw, draw.random() < 0.5)) for clip in clips()]
    fit = fitted(found).fit
    assert fit is not None
    assert fit.contradicted.precision is None or abs(fit.contradicted.precision - 0.5) < 0.2


def test_the_order_of_the_clips_does_not_change_weights() -> None:
    found = clips()
    assert fitted(found).words == fitted(found[::-1]).words


def test_copies_of_a_clip_are_in_one_fold() -> None:
    found = [replace(clip, sha256=f"{place // 4:064x}") for place, clip in enumerate(clips(80))]
    folds = _folds(found)
    assert len(folds) == FOLDS
    for train, test in folds:
        assert not {found[i].sha256 for i in train} & {found[i].sha256 for i in test}


def test_a_witness_that_is_silent_is_named_with_its_reason() -> None:
    assert silent(clips(), LIKE) == {"voice": "no speech was measured"}


def test_too_few_clips() -> None:
    with pytest.raises(
        InputError, match=r"^labels.csv: of 12 clips with a standing and a label, 6 were .* needs 10 of"
    ):
        fitted(clips(12))


def stood(name: str, found: Judged, rules: str = LIKE.title) -> Record:
    plain = record(name)
    standing = Standing(Verdict.UNDETERMINED, found.votes, "", rules)
    return replace(plain, sha256=found.sha256, label=replace(plain.label, label=found.label, standing=standing))


def test_standings_by_other_witnesses_are_refused() -> None:
    one = stood("a", clips(1)[0], "mine 3 (01234567)")
    with pytest.raises(InputError, match=r"^a: its standing is by the witnesses mine 3 \(01234567\), and not by"):
        judged([one], lambda _: "happy", LIKE)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fit") / "out"
    return write(out, [stood(f"clip_{n:03}", clip) for n, clip in enumerate(clips(60))])


def labels(folder: Path, rows: str) -> Path:
    table = folder / "labels.csv"
    table.write_text(f"name,label\n{rows}", encoding="utf-8")
    return table


def test_the_command_writes_a_file_that_runs_can_use(run: Path, tmp_path: Path) -> None:
    table = labels(tmp_path, "".join(f"clip_{n:03},{'Happy' if n % 2 == 0 else 'sad'}\n" for n in range(60)))
    to = tmp_path / "mine.yaml"
    done = CliRunner().invoke(app, ["fit-witnesses", "--out", str(run), "--labels", str(table), "--to", str(to)])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "60 of 60 records have a label" in said and "voice abstained on all of them" in said
    assert "contradicted: precision" in said and "with the defaults" in said
    found = load_witnesses(to)
    assert found.name == "mine" and found.fit is not None and found.fit.against == "labels.csv"
    assert found.title != LIKE.title
    with pytest.raises(InputError, match="already exists"):
        command.fit_to(run, table, to, "default")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("other,happy\n", "names none of the 60 clips with a record"),
        ("clip_000,bored\n", "label 'bored' is not in the file of witnesses: neutral, happy"),
        ("clip_000,happy\nclip_001,sad\n", "of 2 clips with a standing and a label, 1 were labelled right"),
    ],
)
def test_tables_that_cannot_be_used(run: Path, tmp_path: Path, rows: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        command.fit_to(run, labels(tmp_path, rows), tmp_path / "mine.yaml", "default")
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "mine.yaml").exists()
