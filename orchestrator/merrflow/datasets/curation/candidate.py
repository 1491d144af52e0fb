"""What filters know of a clip: no more than they look at, so that 100,000 clips fit in memory."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from merrflow.core.records import Record
from merrflow.datasets.agreements import deciding
from merrflow.datasets.entries import Entry
from merrflow.datasets.review.corrected import HUMAN
from merrflow.datasets.scoring.scores import Shares
from merrflow.datasets.standings import standing_of
from merrflow.stages.grounding import CONTRADICTED, SUPPORTED

_NO_FRAMES = np.zeros(0, np.uint64)
_NO_SOUND = np.zeros(0, np.uint32)


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One clip with a record. None or empty means not known, which never counts against the clip."""

    name: str
    sha256: str
    label: str
    label_source: str  # "rules", "table", "model", "human"
    rejected: str | None  # why people rejected the clip; "" if they kept it, None if nobody looked
    ruled: str  # the label by the rules alone; "" if not known
    supported: bool | None
    standing: str  # "confirmed", "undetermined", "contradicted"; "" if not known
    standing_reason: str
    scores: Mapping[str, Mapping[str, float]]  # "all", "face", "voice", "words" -> label -> probability
    claims: tuple[str, ...]  # reasons of what the tone claims and measurement contradicts
    claims_measured: int  # claims that measurement supports or contradicts
    text_claims: Mapping[str, Shares]  # judge -> what it finds of the fine-grained text's claims
    fine_text: bool
    face_pixels: float | None  # height of the subject's face at the peak
    height: int  # pixels of the picture
    width: int
    face_confidence: float | None  # 0 to 1
    signal_to_noise: float | None  # dB
    subject_margin: float | None  # 0 to 1; None if there is only one person
    sharpness: float | None  # of the peak's face; read only if a filter needs it
    seconds: float
    text: str  # the subtitle's letters and digits, case folded
    agreement: Mapping[tuple[str, str], float | None]  # (clue, witness) -> 0 to 1; None: not measured
    frames: np.ndarray  # (frames,) uint64 hashes of pictures
    sound: np.ndarray  # (pieces,) uint32 hashes of the sound; 0 for silence

    @property
    def own(self) -> float | None:
        """Probability of the clip's label given all clues."""
        return self.scores.get("all", {}).get(self.label)


def candidate(entry: Entry, sharpness: float | None = None) -> Candidate:
    """The part of a record that curation needs. What other clues say against a label that people gave or confirmed is
    taken for not known: people decide."""
    record = entry.record
    box = record.peak.box
    noise = record.tone.measurements.get("signal_to_noise") if record.tone else None
    hashes = record.probe.likeness
    by_people = record.label.source == HUMAN
    writer = record.origins.get("reasoning")
    verdict, reason = standing_of(entry)
    return Candidate(
        name=record.name,
        sha256=record.sha256,
        label=sys.intern(record.label.label),
        label_source=sys.intern(record.label.source),
        rejected=_rejected(entry),
        ruled=sys.intern(record.label.ruled),
        supported=None if by_people else record.label.supported,
        standing=verdict or "",
        standing_reason=reason or "",
        scores={} if by_people else _scores(record),
        claims=tuple(claim.reason for claim in record.grounding if claim.verdict == CONTRADICTED),
        claims_measured=sum(claim.verdict in (SUPPORTED, CONTRADICTED) for claim in record.grounding),
        text_claims={} if writer and writer.engine == HUMAN else entry.scores.shares(),
        fine_text=entry.is_fine,
        face_pixels=box[3] if box else None,
        height=record.probe.height,
        width=record.probe.width,
        face_confidence=record.peak.confidence,
        signal_to_noise=noise[0] if noise else None,
        subject_margin=record.subject.margin if record.subject.persons > 1 else None,
        sharpness=sharpness,
        seconds=record.probe.seconds,
        text=plain(record.subtitle.text or ""),
        agreement={
            (sys.intern(clue), sys.intern(one.witness)): value
            for clue, one, value in deciding(record)
            if not (by_people and clue.startswith("score_"))
        },
        frames=np.array([int(word, 16) for word in hashes.frames], np.uint64) if hashes else _NO_FRAMES,
        sound=np.array([int(word or "0", 16) for word in hashes.sound], np.uint32) if hashes else _NO_SOUND,
    )


def plain(text: str) -> str:
    """A subtitle's letters and digits alone, so that copies may differ in case, blanks and stops."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _scores(record: Record) -> dict[str, dict[str, float]]:
    return {
        sys.intern(clues): {sys.intern(label): share for label, share in probability.items()}
        for clues, probability in record.distribution.items()
        if probability
    }


def _rejected(entry: Entry) -> str | None:
    decision = entry.decision
    if decision is None or not decision.rejected:
        return None if decision is None else ""
    return f"rejected by {', '.join(decision.reviewers)}" + (f": {decision.note}" if decision.note else "")
