"""The fine-grained text: why the person feels what the label says, from all clues."""

from __future__ import annotations

from typing import Any

from merrflow.core.fingerprint import fingerprint
from merrflow.core.labels import Label
from merrflow.core.texts import Clues, Reasoning
from merrflow.stages.label_scores import SERVICE, reasoner
from merrflow.stages.stage import Reply, Stage, Work
from merrflow.stages.validation import text_problem


def seed_of(work: Work) -> int:
    """The seed of what is drawn for the clip."""
    return int(fingerprint(work.run.settings.seed, work.clip.sha256)[:8], 16)


async def _reason(work: Work, clues: Clues, label: Label) -> Reply[Reasoning]:
    return await work.run.services.reason(work.clip.name, clues.labelled(label), label.label, seed_of(work))


def _key(work: Work, clues: Clues, label: Label) -> Any:
    return [clues.labelled(label).for_key(), label.label, seed_of(work), reasoner(work.run.identities[SERVICE])]


STAGE = Stage(
    name="reasoning",
    purpose="the fine-grained description",
    compute=_reason,
    needs=("clues", "label"),
    reads_clip=False,
    service=SERVICE,
    result=Reasoning,
    key=_key,
    settings=("seed",),
    check=text_problem,
    optional=True,
)
