"""What the packaged model's scores are good for: labels that it reads off plain clues, and planted labels of opposite
valence that the curation filters `distribution` and `modalities` betray by its scores.

    python -m benchmarks.contradictions
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import yaml

from merrflow.datasets.curation.base import ClipFilter
from merrflow.datasets.curation.candidate import Candidate
from merrflow.datasets.curation.config import packaged
from merrflow.datasets.curation.contradictions import MODALITIES, opposite
from merrflow_llama3.engines.llamacpp import LlamaCpp
from merrflow_llama3.settings import Llama3Settings
from merrflow_llama3.types import Clues, Scored, ScoreItem

LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise", "fear", "contempt", "doubt")
Scores = Mapping[str, float]


@dataclass(frozen=True)
class Plain:
    """Clues that leave no doubt, with what the model makes of them."""

    label: str
    view: str  # "face", "voice", "words" or "all"
    scores: Scores


def scored() -> Iterator[Plain]:
    """The items of plain_clues.yaml, weighed by the packaged model."""
    engine = LlamaCpp(Llama3Settings(threads=1))
    engine.load()
    for item in yaml.safe_load((Path(__file__).parent / "plain_clues.yaml").read_text(encoding="utf-8")):
        label, view = item.pop("label"), item.pop("view")
        clues = Clues(**item | {"expressions": tuple(item.get("expressions", ()))})
        result = engine.run([ScoreItem(clues, LABELS)])[0]
        assert isinstance(result, Scored), result
        yield Plain(label, view, {score.label: score.probability for score in result.scores})
    engine.close()


def _clip(label: str, scores: Mapping[str, Scores]) -> Candidate:
    """A clip of which nothing is known but label and scores."""
    return Candidate(
        name="clip", sha256="", label=label, label_source="table", ruled="", supported=None, standing="",
        standing_reason="", scores=scores, claims=(), claims_measured=0, fine_text=True, face_pixels=None, height=0,
        width=0, face_confidence=None, signal_to_noise=None, subject_margin=None, sharpness=None, seconds=1.0, text="",
        frames=np.zeros(0, np.uint64), sound=np.zeros(0, np.uint32),
    )  # fmt: skip


def _drops(name: str, label: str, scores: Mapping[str, Scores]) -> bool:
    one = packaged().model_copy(update={"order": (name,)}).filters()[0]
    assert isinstance(one, ClipFilter)
    return one.reason(_clip(label, scores)) is not None


def main() -> None:
    """Prints the figures of docs/curation.md and, as its last line, JSON."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    items, valence = list(scored()), packaged().valence
    right = sum(max(item.scores, key=lambda label: item.scores[label]) == item.label for item in items)
    felt = [item for item in items if valence[item.label] in ("positive", "negative")]
    planted = [
        _drops("distribution", label, {"all": item.scores})
        for item in felt
        for label in LABELS
        if opposite(label, item.label, valence)
    ]
    accused = [_drops("distribution", item.label, {"all": item.scores}) for item in felt]
    apart: dict[bool, list[bool]] = {True: [], False: []}
    for one, other in combinations([item for item in felt if item.view in MODALITIES], 2):
        views = {"face": one.scores, "words": other.scores}
        apart[opposite(one.label, other.label, valence)].append(_drops("modalities", one.label, views))
    result = {
        "plain": {"right": right, "of": len(items)},
        "distribution": {
            "planted": len(planted),
            "found": sum(planted),
            "right": len(accused),
            "accused": sum(accused),
        },
        "modalities": {
            "apart": len(apart[True]),
            "found": sum(apart[True]),
            "alike": len(apart[False]),
            "accused": sum(apart[False]),
        },
    }
    for name, figures in result.items():
        print(f"{name}: {figures}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
