"""What follows from verdicts: in records, curation and exports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import merrflow
from merrflow.core.records import Outcome
from merrflow.datasets.curation import read_curation
from merrflow.datasets.curation.config import load_config
from merrflow.datasets.curation.curate import curate
from merrflow.datasets.entries import entries
from merrflow.datasets.outputs import write_outputs
from merrflow.datasets.review.verdicts import Kind, Said, Verdict, decide
from merrflow.store import UNDO, Ledger, VerdictRow
from tests.orchestrator.datasets.review.runs import reviewable, say


@pytest.fixture
def ledger(tmp_path: Path):
    ledger = reviewable(tmp_path)
    yield ledger
    ledger.close()


def entry(ledger: Ledger, name: str = "clip_000"):
    return next(iter(entries(ledger, {name})))


def spoken(*said: tuple[Kind, dict]) -> list[Verdict]:
    return [
        Verdict("a", "sha", f"reviewer {n}", kind, Said(**values), "", n + 1) for n, (kind, values) in enumerate(said)
    ]


def test_most_reviewers_decide_and_of_as_many_the_last() -> None:
    happy, sad, no = (Kind.KEEP, {"label": "happy"}), (Kind.KEEP, {"label": "sad"}), (Kind.REJECT, {})
    assert decide(spoken(happy, sad, happy)).label == "happy"
    assert decide(spoken(happy, sad)).label == "sad"
    assert decide(spoken(no, happy, no)).rejected
    assert decide(spoken(happy, no)).rejected
    assert not decide(spoken(no, happy)).rejected


def test_each_correction_is_decided_by_itself() -> None:
    found = decide(
        spoken((Kind.KEEP, {"label": "happy", "peak": 3}), (Kind.KEEP, {"label": "sad"}), (Kind.KEEP, {"label": "sad"}))
    )
    assert (found.label, found.peak) == ("sad", None)


def test_a_label_that_a_person_confirms_is_a_persons(ledger) -> None:
    say(ledger, "clip_000", label="happy")
    found = entry(ledger)
    assert (found.record.label.label, found.record.label.source) == ("happy", "human")
    assert "confirmed by ann; before, by rules" in found.record.label.reason
    assert found.record.label.standing.verdict == "confirmed"
    assert found.outcome is Outcome.DONE
    assert entry(ledger, "clip_001").record.label.source == "rules"


def test_with_another_label_the_old_text_does_not_count_until_somebody_writes_one(ledger) -> None:
    say(ledger, "clip_000", label="sad")
    found = entry(ledger)
    assert (found.record.label.label, found.outcome, found.fine_text) == ("sad", Outcome.REJECTED, None)
    assert [vote.witness for vote in found.record.label.standing.votes] == ["human"]
    say(ledger, "clip_000", label="sad", text="The voice breaks.")
    found = entry(ledger)
    assert (found.fine_text, found.record.origins["reasoning"].engine) == ("The voice breaks.", "human")


def test_a_corrected_subtitle_is_in_the_coarse_text(ledger) -> None:
    say(ledger, "clip_000", label="happy", subtitle="What a  night")
    record = entry(ledger).record
    assert (record.subtitle.text, record.subtitle.source) == ("What a  night", "human")
    assert "What a night" in record.coarse
    assert "What a day" not in record.coarse


def test_a_moved_peak_has_the_units_that_were_measured_there(ledger) -> None:
    say(ledger, "clip_000", label="happy", peak=28)
    record = entry(ledger).record
    assert (record.peak.index, record.peak.timestamp) == (28, 1.12)
    assert record.peak.action_units == ("AU12",)  # 1.1 there; AU06 is half of it
    assert record.peak.reason == "set by ann"


def test_what_was_taken_back_and_what_an_audit_says_change_nothing(ledger) -> None:
    before = entry(ledger)
    row = say(ledger, "clip_000", label="sad")
    ledger.say(VerdictRow("clip_000", row.sha256, "ann", UNDO, "{}", "key-undo", undoes=row.id))
    say(ledger, "clip_000", label="sad", audit="audit")
    assert entry(ledger) == before


def test_a_verdict_on_other_bytes_does_not_count(ledger, tmp_path: Path) -> None:
    say(ledger, "clip_000", label="sad")
    row = ledger.record("clip_000")
    payload = row.payload.replace(ledger.verdicts()[0].sha256.encode(), b"0" * 64)
    ledger.finish_clip("clip_000", "new", row.__class__(row.outcome, "", payload, 1.0))
    assert entry(ledger).record.label.label == "happy"


def test_a_verdict_that_cannot_be_read_is_left_out_with_a_warning(ledger, caplog) -> None:
    row = say(ledger, "clip_001", label="sad")
    ledger.say(VerdictRow("clip_000", ledger.clips()[0].clip.sha256, "ann", "a newer kind", "{}", "key-new"))
    assert entry(ledger).record.label.source == "rules"
    assert entry(ledger, "clip_001").record.label.source == "human"
    assert f"verdict {row.id + 1} on clip clip_000 cannot be read" in caplog.text


def test_curation_drops_what_people_rejected_and_keeps_what_they_confirmed(ledger, tmp_path: Path) -> None:
    say(ledger, "clip_000", kind=Kind.REJECT, note="two faces")
    say(ledger, "clip_002", label="angry")  # that the witnesses contradict
    found = curate(tmp_path, load_config())
    (drop,) = (drop for step in found.steps for drop in step.drops)
    assert drop.values() == {"name": "clip_000", "filter": "review", "reason": "rejected by ann: two faces"}
    assert not read_curation(tmp_path).stale
    say(ledger, "clip_001", label="sad")
    assert read_curation(tmp_path).stale


def test_the_files_of_a_run_and_exports_follow_verdicts(ledger, tmp_path: Path) -> None:
    write_outputs(ledger, tmp_path)
    say(ledger, "clip_000", label="sad")
    write_outputs(ledger, tmp_path, unless_current=True)
    line = json.loads((tmp_path / "records.jsonl").read_text().splitlines()[0])
    assert (line["label"]["label"], line["label"]["source"]) == ("sad", "human")
    with merrflow.open(tmp_path) as dataset:
        dataset.export("huggingface")
        assert dataset["clip_000"].record.label.label == "sad"
    card = (tmp_path / "export/huggingface/README.md").read_text()
    assert "not human annotation**, but for 1 that people gave or confirmed." in card
