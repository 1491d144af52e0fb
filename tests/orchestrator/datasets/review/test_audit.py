"""Audits: drawn by seed, stratified, and reported with intervals."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import merrflow
from merrflow.cli.review import audit as command
from merrflow.core.errors import InputError
from merrflow.datasets.review.audit import Audit, Drawn, draw, read_audit, report, write_audit
from merrflow.datasets.review.index import Item, item_id
from merrflow.datasets.review.verdicts import Kind, Said, Verdict
from tests.orchestrator.datasets.review.runs import reviewable, say

app = typer.Typer()
app.command()(command)


def items(**labels: int) -> list[Item]:
    names = [(f"{label}_{n}", label) for label, count in labels.items() for n in range(count)]
    return [Item(item_id(n), n, f"sha {n}", label, "rules", "done", "", 0.0, False, 1.0, 25) for n, label in names]


def test_a_sample_is_in_proportion_with_some_of_each_label_and_follows_the_seed() -> None:
    run = items(happy=900, sad=97, fear=3)
    found = draw(run, 100, 1)
    assert Counter(one.label for one in found.drawn) == {"happy": 88, "sad": 9, "fear": 3}
    assert found == draw(list(reversed(run)), 100, 1)
    assert found.id != draw(run, 100, 2).id
    assert [one.label for one in found.drawn] != sorted(one.label for one in found.drawn)


@pytest.mark.parametrize("sample", [1, 2, 3, 4, 16, 17, 100, 999, 1000, 5000])
def test_as_many_are_drawn_as_were_asked_for_if_that_is_enough_for_each_label(sample: int) -> None:
    found = Counter(one.label for one in draw(items(happy=900, sad=97, fear=3), sample, 1).drawn)
    assert found.total() == max(3, min(sample, 1000))
    assert set(found) == {"happy", "sad", "fear"}


def test_no_sample_of_nothing() -> None:
    with pytest.raises(InputError, match="--sample"):
        draw([], 500, 0)


def verdict(name: str, label: str, number: int, **said) -> Verdict:
    return Verdict(name, f"sha {name}", "ann", Kind.KEEP, Said(label=label, blind=True, **said), "audit", number)


def test_agreement_by_label_and_clue_weighted_by_the_dataset() -> None:
    drawn = tuple(Drawn(name=f"{label}{n}", sha256=f"sha {label}{n}", label=label) for label in "ab" for n in range(10))
    audit = Audit(id="audit", sample=20, seed=0, strata={"a": 900, "b": 100}, drawn=drawn)
    said = [verdict(one.name, "a", n, clues={"scene": "right" if n % 2 else "wrong"}) for n, one in enumerate(drawn)]
    found = report(audit, said)
    assert (found.judged, found.labels["a"].value, found.labels["b"].value) == (20, 1.0, 0.0)
    assert found.overall.value == pytest.approx(0.9)  # and not the half that the sample alone would give
    assert found.overall.low < 0.9 < found.overall.high
    assert (found.clues["scene"].value, found.clues["scene"].of, list(found.clues)) == (0.5, 20, ["scene"])


def test_the_report_of_a_run_and_its_dataset_card(tmp_path: Path) -> None:
    ledger = reviewable(tmp_path, ("happy",) * 6 + ("sad",) * 4)
    from merrflow.datasets.review.index import read_items

    audit = draw(read_items(ledger).values(), 10, 7)
    write_audit(tmp_path, audit)
    for one in audit.drawn[:8]:
        say(ledger, one.name, audit=audit.id, label=one.label, blind=True, clues={"tone": "right"})
    say(ledger, audit.drawn[8].name, audit=audit.id, label="fear", blind=True)
    say(ledger, audit.drawn[9].name, audit=audit.id, kind=Kind.REJECT)
    ledger.close()
    shown = CliRunner().invoke(app, ["--out", str(tmp_path), "--report", "--json"], catch_exceptions=False)
    found = json.loads(shown.output)
    assert (found["sample"], found["judged"], found["rejected"], found["clues"]["tone"]["of"]) == (10, 10, 1, 8)
    table = CliRunner().invoke(app, ["--out", str(tmp_path), "--report"], catch_exceptions=False).output
    assert "label happy" in table
    with merrflow.open(tmp_path) as dataset:
        dataset.export("huggingface")
    card = (tmp_path / "export/huggingface/README.md").read_text()
    assert "## Audit" in card
    assert "| clue tone | 100.0 % |" in card
    assert "No figure here tells" not in card


def test_an_audit_that_has_begun_is_not_replaced(tmp_path: Path) -> None:
    ledger = reviewable(tmp_path)
    write_audit(tmp_path, audit := draw(items(happy=3), 3, 0))
    say(ledger, "clip_000", audit=audit.id, label="happy")
    ledger.close()
    with pytest.raises(InputError, match="an audit of 3 clips with seed 0 has begun"):
        CliRunner().invoke(app, ["--out", str(tmp_path), "--sample", "2"], catch_exceptions=False)
    assert read_audit(tmp_path) == audit


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    assert read_audit(tmp_path) is None
    (tmp_path / "audit.json").write_text("{")
    with pytest.raises(InputError, match="audit.json: cannot be used"):
        read_audit(tmp_path)
