"""Runs to review: real ledgers with real files, so that verdicts on their bytes can be given."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from merrflow.core.inputs import Found
from merrflow.core.labels import Standing, Verdict, Vote
from merrflow.core.records import Outcome
from merrflow.datasets.entries import RECORDS
from merrflow.datasets.review.verdicts import Kind, Said
from merrflow.store import Ledger, StageRow, VerdictRow
from tests.orchestrator.datasets.report.runs import record
from tests.paths import ROOT

CLIP = ROOT / "examples/clips/good_news.mp4"
LABELS = ("happy", "sad", "angry")
VERDICTS = (Verdict.CONFIRMED, Verdict.UNDETERMINED, Verdict.CONTRADICTED)


def reviewable(out: Path, labels: Sequence[str] = LABELS, *, video: bool = False) -> Ledger:
    """A run with a clip for each label, clip_000 on. video: files that can be played, else a few bytes."""
    clips = out / "clips"
    clips.mkdir(parents=True)
    ledger = Ledger.in_folder(out)
    for number in range(len(labels)):
        path = clips / f"clip_{number:03}.mp4"
        if video:
            shutil.copy(CLIP, path)
        else:
            path.write_bytes(b"video %d" % number)
    found = [Found(path) for path in sorted(clips.iterdir())]
    registered = ledger.register(found, {one.path: one.path.stem for one in found})
    for number, (clip, label) in enumerate(zip(registered, labels, strict=True)):
        one = record(clip.name, label, sha256=clip.sha256, path=str(clip.path))
        vote = Vote("words", "against", "sad", 0.5, "“alas” is said")
        standing = Standing(
            VERDICTS[number % 3], (vote,) if number % 3 == 2 else (), "as the witnesses say", "default 1"
        )
        one = replace(one, label=replace(one.label, standing=standing))
        ledger.finish_clip(clip.name, "print", StageRow(Outcome.DONE, "", RECORDS.dump_json(one), 1.0))
    return ledger


def say(
    ledger: Ledger, clip: str, reviewer: str = "ann", kind: Kind = Kind.KEEP, audit: str = "", **said
) -> VerdictRow:
    """A verdict, straight into the ledger."""
    sha256 = next(row.clip.sha256 for row in ledger.clips() if row.clip.name == clip)
    key = f"key-{len(ledger.verdicts())}"
    return ledger.say(VerdictRow(clip, sha256, reviewer, kind, Said(**said).model_dump_json(), key, audit))
