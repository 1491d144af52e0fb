"""A made corpus of records in which contradictions, copies, poor clips and imbalance are planted and known.

Distances between copies are drawn from what re-encoded real clips measured (docs/curation.md). There are traps as
well: clips of one scene, which look as alike as copies; clips under one music; lines said twice; sure models that are
wrong within a valence, unsure ones across; clips that lack clues.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from merrflow.core.inputs import Found
from merrflow.core.measurements import PerceptualHashes
from merrflow.core.records import Outcome, Record
from merrflow.core.texts import Claim
from merrflow.datasets.entries import RECORDS
from merrflow.store import Ledger, StageRow
from tests.orchestrator.datasets.report.runs import record

# Shares of MERR's labels in its 4,487 fine-grained annotations.
LABELS = {"neutral": 1352, "worried": 1091, "happy": 874, "angry": 475, "surprise": 310, "fear": 213, "contempt": 86}
POSITIVE, NEGATIVE = ("happy",), ("sad", "angry", "worried", "fear", "contempt")
WORDS = [
    "you",
    "never",
    "told",
    "me",
    "that",
    "he",
    "would",
    "come",
    "back",
    "here",
    "today",
    "i",
    "know",
    "what",
    "we",
    "saw",
    "and",
    "nobody",
    "else",
    "believes",
    "it",
]


@dataclass(frozen=True)
class Corpus:
    """Records in an order of their own, and by filter the names that it should drop."""

    records: tuple[Record, ...]
    planted: dict[str, frozenset[str]]


def build(size: int = 2000, seed: int = 1) -> Corpus:
    """`size` records, of which about a quarter have something planted."""
    return _Builder(np.random.default_rng(seed)).build(size)


def write(out: Path, records: Iterable[Record]) -> Path:
    """A ledger in `out` with these records, entered in their order."""
    out.mkdir(parents=True, exist_ok=True)
    ledger = Ledger.in_folder(out)
    records = list(records)
    names = {Path(f"/data/{one.name}.mp4"): one.name for one in records}
    ledger.register([Found(path) for path in names], names)
    for one in records:
        outcome = Outcome.DONE if one.reasoning else Outcome.REFUSED
        ledger.finish_clip(one.name, "print", StageRow(outcome, "", RECORDS.dump_json(one), 2.0))
    ledger.close()
    return out


class _Builder:
    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.records: list[Record] = []
        self.planted: dict[str, set[str]] = defaultdict(set)
        self.scenes = [rng.integers(0, 2**63, 10, np.uint64) for _ in range(150)]
        self.theme = rng.integers(1, 2**32, 60, np.uint32)

    def build(self, size: int) -> Corpus:
        plants: dict[Callable[[], None], float] = {
            self.distribution: 0.04,
            self.modalities: 0.03,
            self.support: 0.03,
            self.tone: 0.03,
            self.quality: 0.03,
            self.exact: 0.03,
            self.near: 0.06,
            self.same_line_again: 0.02,
            self.under_one_music: 0.02,
        }
        for plant, share in plants.items():
            for _ in range(round(size * share)):
                plant()
        while len(self.records) < size:
            self.plain()
        order = self.rng.permutation(len(self.records))
        planted = {name: frozenset(names) for name, names in self.planted.items()}
        return Corpus(tuple(self.records[index] for index in order), planted)

    # Clips

    def clip(self, label: str | None = None, scene: int | None = None) -> Record:
        """A clip with nothing wrong, that may lack a clue."""
        rng = self.rng
        shares = np.array(list(LABELS.values())) / sum(LABELS.values())
        label = label or str(rng.choice(list(LABELS), p=shares))
        seconds = float(np.round(rng.uniform(2, 6), 2))
        looks = self.scenes[rng.integers(len(self.scenes)) if scene is None else scene]
        frames = flip(rng, rng.choice(looks, min(16, int(seconds / 0.25))), rng.uniform(1, 6), 64)
        sound = rng.integers(1, 2**32, int((seconds - 0.38) / 0.064), np.uint32)
        text = " ".join(rng.choice(WORDS, rng.integers(3, 12))) if rng.random() > 0.1 else None
        first = record(f"clip_{len(self.records):05}")
        lack_sound, lack_scores = rng.random() < 0.05, rng.random() < 0.1
        return replace(
            first,
            sha256=rng.bytes(32).hex(),
            probe=replace(first.probe, seconds=seconds, likeness=likeness(frames, sound[: 0 if lack_sound else None])),
            peak=replace(
                first.peak, confidence=float(rng.uniform(0.7, 1)), box=(9, 9, 90, float(rng.uniform(60, 200)))
            ),
            label=replace(first.label, label=label, source="table", ruled=label, supported=True),
            tone=None if lack_sound else replace(first.tone, measurements={"signal_to_noise": (20.0, "dB")}),
            subtitle=replace(first.subtitle, text=text),
            reasoning=None if rng.random() < 0.05 else first.reasoning,
            grounding=(Claim("loud", "loud", "supported", ""),) if rng.random() < 0.5 else (),
            distribution={} if lack_scores else self.scores(label),
        )

    def scores(self, label: str) -> dict[str, dict[str, float]]:
        """Scores as a fair model gives them: now and then sure of a neighbour, or unsure across valences."""
        rng = self.rng
        scores = {}
        for clues in ("all", "face", "voice", "words"):
            kind = rng.random()
            if kind < 0.6:
                scores[clues] = share(label, rng.uniform(0.3, 0.95))
            elif kind < 0.8:  # sure, of a label of like valence
                scores[clues] = share(self.like(label), rng.uniform(0.5, 0.95))
            else:  # of the opposite valence, and unsure
                scores[clues] = share(self.other(label), rng.uniform(0.2, 0.5))
        return scores

    def like(self, label: str) -> str:
        return "surprise" if label in POSITIVE else str(self.rng.choice(NEGATIVE)) if label in NEGATIVE else label

    def other(self, label: str) -> str:
        return "happy" if label in NEGATIVE else str(self.rng.choice(NEGATIVE))

    def keep(self, one: Record) -> Record:
        self.records.append(one)
        return one

    def plain(self) -> None:
        self.keep(self.clip())

    # What is planted

    def distribution(self) -> None:
        label = str(self.rng.choice([*POSITIVE, *NEGATIVE]))
        one = self.keep(self.clip(label))
        scores = share(self.other(label), self.rng.uniform(0.55, 0.95))
        scores = {**scores, label: self.rng.uniform(0, 0.05)}
        self.records[-1] = replace(one, distribution={"all": scores})
        self.planted["distribution"].add(one.name)

    def modalities(self) -> None:
        label = str(self.rng.choice([*POSITIVE, *NEGATIVE]))
        one = self.keep(self.clip(label))
        face, words = share(label, self.rng.uniform(0.77, 0.98)), share(self.other(label), self.rng.uniform(0.77, 0.98))
        self.records[-1] = replace(one, distribution={"all": share(label, 0.5), "face": face, "words": words})
        self.planted["modalities"].add(one.name)

    def support(self) -> None:
        one = self.clip("happy")
        self.keep(replace(one, label=replace(one.label, ruled="angry", supported=False)))
        self.planted["support"].add(one.name)

    def tone(self) -> None:
        one = self.clip()
        claims = (Claim("quiet", "quiet", "contradicted", "loudness -10 dB"), Claim("sad", "sad", "unmeasured", ""))
        self.keep(replace(one, grounding=claims, tone=record("x").tone))
        self.planted["tone"].add(one.name)

    def quality(self) -> None:
        one = self.clip()
        kind = self.rng.integers(3)
        if kind == 0:
            one = replace(one, peak=replace(one.peak, box=(9, 9, 20, 30)))
        elif kind == 1:
            one = replace(one, peak=replace(one.peak, confidence=0.3))
        else:
            noise = {"signal_to_noise": (-5.0, "dB")}
            one = replace(one, tone=replace(record("x").tone, measurements=noise))
        self.planted["quality"].add(self.keep(one).name)

    def exact(self) -> None:
        one = self.clip()
        self.keep(one)
        self._copy(one, one.sha256, "exact", one.probe.likeness)

    def near(self) -> None:
        """A copy as re-encoding, cutting, cropping, mirroring or muting makes it."""
        rng = self.rng
        one = self.clip()
        while len(one.probe.likeness.sound) == 0 or len(one.subtitle.text or "") < 14:
            one = self.clip()
        self.keep(one)
        frames = np.array([int(word, 16) for word in one.probe.likeness.frames], np.uint64)
        sound = np.array([int(word, 16) for word in one.probe.likeness.sound], np.uint32)
        kind = rng.choice(["encoded", "cut", "cropped", "mirrored", "muted", "retitled"])
        text, bits, noise = one.subtitle.text, rng.uniform(0, 5), rng.uniform(0.04, 0.25)
        if kind == "cut":
            sound = sound[rng.integers(1, 6) :]
        elif kind == "cropped":
            bits = rng.uniform(7, 13)
        elif kind == "mirrored":
            frames = frames ^ np.uint64(0x5555555555555555)
        elif kind == "muted":
            sound = sound[:0]
        elif kind == "retitled":
            text = "他们从来没有告诉过我他今天会回到这里来的事情"
        made = likeness(flip(rng, frames, bits, 64), flip(rng, sound, noise * 32, 32))
        self._copy(one, rng.bytes(32).hex(), "near", made, text)

    def _copy(
        self, one: Record, sha256: str, kind: str, made: PerceptualHashes | None, text: str | None = None
    ) -> None:
        """A copy, better or worse than the first; the worse of the two should go."""
        better = self.rng.random() < 0.5
        confidence = one.peak.confidence + (0.05 if better else -0.05)
        copy = replace(
            one,
            name=f"clip_{len(self.records):05}",
            sha256=sha256,
            probe=replace(one.probe, likeness=made),
            peak=replace(one.peak, confidence=confidence),
            subtitle=replace(one.subtitle, text=text or one.subtitle.text),
        )
        self.keep(copy)
        self.planted[kind].add(one.name if better else copy.name)

    # Traps

    def same_line_again(self) -> None:
        """One scene, one line, two takes."""
        scene = int(self.rng.integers(len(self.scenes)))
        takes = [self.clip(scene=scene) for _ in range(2)]
        for take in takes:
            sound = self.rng.integers(1, 2**32, 40, np.uint32)
            probe = replace(take.probe, seconds=3.0, likeness=likeness(self.scenes[scene], sound))
            subtitle = replace(take.subtitle, text="what are you doing in the kitchen")
            self.keep(replace(take, name=f"clip_{len(self.records):05}", probe=probe, subtitle=subtitle))

    def under_one_music(self) -> None:
        """Other pictures and words under the same opening theme."""
        one = self.clip()
        looks = self.rng.integers(0, 2**63, 12, np.uint64)
        sound = flip(self.rng, self.theme, 3, 32)
        self.keep(replace(one, probe=replace(one.probe, seconds=4.2, likeness=likeness(looks, sound))))


def share(label: str, probability: float) -> dict[str, float]:
    """A distribution in which one label has this probability and the others the rest."""
    others = [one for one in [*LABELS, "sad"] if one != label]
    return {one: (1 - probability) / len(others) for one in others} | {label: float(probability)}


def flip(rng: np.random.Generator, words: np.ndarray, mean_bits: float, width: int) -> np.ndarray:
    """The words with each bit turned by chance, so that `mean_bits` of `width` differ on average."""
    turned = rng.random((len(words), width)) < mean_bits / width
    mask = (turned * (2 ** np.arange(width, dtype=np.uint64))).sum(axis=1, dtype=np.uint64)
    return words ^ mask.astype(words.dtype)


def likeness(frames: np.ndarray, sound: np.ndarray) -> PerceptualHashes:
    return PerceptualHashes(
        tuple(f"{word:016x}" for word in frames.tolist()), tuple(f"{word:08x}" for word in sound.tolist())
    )


def label_counts(records: Iterable[Record]) -> Counter[str]:
    return Counter(one.label.label for one in records)
