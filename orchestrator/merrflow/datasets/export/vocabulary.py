"""Which labels, Action Units and measurements a run has, for formats whose columns must be known before the first row.

A light pass over the ledger: of each record only these few fields are parsed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NotRequired

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from merrflow.datasets.entries import parsed
from merrflow.datasets.scoring.files import score_names
from merrflow.stages import label_scores
from merrflow.stages.graph import GRAPH
from merrflow.store import Ledger

# In the order of Emotion-LLaMA's dataset class, so that numbers of labels are the same.
MERR_LABELS = ("neutral", "angry", "happy", "sad", "worried", "surprise", "fear", "contempt", "doubt")
DISGUST = "disgust"  # which MERR does not have, and other sets of basic emotions have
SCORES = frozenset(stage.name for stage in label_scores.SCORES)
# That a record names the engines of.
CLUES = tuple(stage.name for stage in GRAPH if stage.service and stage.name not in SCORES)
MODALITIES = label_scores.VIEWS  # that a record has label distributions of


class _Peak(TypedDict):
    intensity: dict[str, float]


class _Label(TypedDict):
    label: str
    scores: NotRequired[dict[str, float]]


class _Tone(TypedDict):
    measurements: dict[str, tuple[float, str]]


class _Glance(TypedDict):
    peak: _Peak
    label: _Label
    tone: _Tone | None
    origins: dict[str, object]
    distribution: NotRequired[dict[str, dict[str, float]]]


_GLANCE = TypeAdapter(_Glance)


@dataclass(frozen=True)
class Vocabulary:
    """Everything sorted, so that it depends on the records and not on their order."""

    labels: tuple[str, ...]  # MERR_LABELS, disgust, then others that occur
    action_units: tuple[str, ...]  # those that have an intensity at some peak, ascending
    prosody: tuple[tuple[str, str], ...]  # names of the voice's measurements, with units
    clues: tuple[str, ...]  # that engines are named of: CLUES, then others that occur
    modalities: tuple[str, ...]  # that label distributions are of: MODALITIES, then others that occur
    scores: tuple[str, ...] = ()  # of texts, that `merrflow score` found


def vocabulary(ledger: Ledger, names: Collection[str] | None = None) -> Vocabulary:
    """Reads the ledger once. names: the clips to look at (None: all)."""
    labels: set[str] = set()
    units: set[str] = set()
    prosody: dict[str, str] = {}
    clues: set[str] = set()
    modalities: set[str] = set()
    for _, _, glance in parsed(ledger, _GLANCE, names):
        labels.add(glance["label"]["label"])
        labels.update(glance["label"].get("scores", ()))
        units.update(glance["peak"]["intensity"])
        clues.update(glance["origins"])
        for modality, shares in glance.get("distribution", {}).items():
            modalities.add(modality)
            labels.update(shares)
        measured = glance["tone"]["measurements"] if glance["tone"] else {}
        prosody |= {key: unit for key, (_, unit) in measured.items()}
    return Vocabulary(
        labels=_after((*MERR_LABELS, DISGUST), labels),
        action_units=tuple(sorted(units)),
        prosody=tuple(sorted(prosody.items())),
        clues=_after(CLUES, clues),
        modalities=_after(MODALITIES, modalities),
        scores=score_names(ledger),
    )


def _after(first: tuple[str, ...], others: set[str]) -> tuple[str, ...]:
    return (*first, *sorted(others - set(first)))
