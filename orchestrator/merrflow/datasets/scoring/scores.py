"""Scores of one record's fine-grained text, as the ledger keeps them and as exports and filters see them."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from merrflow.core.fingerprint import fingerprint
from merrflow.core.records import Record
from merrflow.facs import expressive, load_lexicon
from merrflow.stages.claims.judge import FACE, LABEL, SCENE, VOICE, WORDS, Evidence, Finding, Judgement
from merrflow.store import Ledger, ScoreRow

MEASURES = "measures"  # the judge whose rows are `Measured`; the others' are judgements
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measure:
    """One measure of a text."""

    value: float | None  # None: not measured, which is not zero
    reason: str = ""  # why it is not measured


@dataclass(frozen=True)
class Shares:
    """What one judge finds of a text's claims, in sum."""

    claims: int
    supported: int
    contradicted: int

    @property
    def not_told(self) -> int:
        return self.claims - self.supported - self.contradicted

    def share(self, finding: Finding) -> float | None:
        """Of all claims; None if the text has none."""
        counts = {Finding.SUPPORTED: self.supported, Finding.CONTRADICTED: self.contradicted}
        return counts.get(finding, self.not_told) / self.claims if self.claims else None


@dataclass(frozen=True)
class TextScores:
    """All scores of one text. Empty for a text that was not scored, or was changed since."""

    judged: Mapping[str, tuple[Judgement, ...]] = field(default_factory=dict)  # judge -> claims in order
    measures: Mapping[str, Measure] = field(default_factory=dict)

    def shares(self) -> dict[str, Shares]:
        """By judge."""
        return {judge: shares_of(found) for judge, found in self.judged.items()}

    def values(self) -> dict[str, float | None]:
        """Name -> number, None if it was not measured: of each judge three shares, then the measures."""
        found: dict[str, float | None] = {}
        for judge, shares in self.shares().items():
            for finding in Finding:
                found[f"{judge}_{finding.name.lower()}"] = shares.share(finding)
        return found | {name: measure.value for name, measure in self.measures.items()}

    def __bool__(self) -> bool:
        return bool(self.judged or self.measures)


JUDGED = TypeAdapter(tuple[Judgement, ...])
MEASURED = TypeAdapter(dict[str, Measure])
NOT_SCORED = TextScores()


def shares_of(found: Sequence[Judgement]) -> Shares:
    counts = Counter(one.finding for one in found)
    return Shares(len(found), counts[Finding.SUPPORTED], counts[Finding.CONTRADICTED])


def evidence_of(record: Record) -> Evidence:
    """The clues of a record as judges take them."""
    lexicon, label, scene = load_lexicon("default"), record.label, record.scene
    rest = [code for code in record.peak.action_units if code not in label.action_units and expressive(code)]
    face = (*label.expressions, *lexicon.draw_all(record.name, [code for code in rest if code in lexicon.phrases]))
    said = dict.fromkeys(filter(None, (record.subtitle.text, record.english)))
    clues = {
        SCENE: " ".join((scene.text, *scene.on_screen_text)) if scene else "",
        FACE: ", ".join(face),
        VOICE: record.tone.text if record.tone else "",
        WORDS: "\n".join(said),
        LABEL: label.label,
    }
    return Evidence(clues, record.tone, frozenset(record.peak.action_units))


def digest(record: Record, text: str) -> str:
    """Changes with the text and all that it is judged by."""
    return fingerprint(
        text,
        evidence_of(record).clues,
        record.tone.measurements if record.tone else {},
        record.tone.content if record.tone else "",
        record.peak.action_units,
        record.label,
        record.distribution,
        record.transcript,
    )


class Kept:
    """What the ledger keeps: a snapshot. Rows that cannot be read count as not scored."""

    def __init__(self, ledger: Ledger) -> None:
        self._rows: dict[str, list[ScoreRow]] = defaultdict(list)
        for row in ledger.scores():
            self._rows[row.clip].append(row)

    def of(self, record: Record, text: str | None) -> TextScores:
        """The scores of a record with this text; empty if its text was not scored."""
        rows = self._rows.get(record.name)
        if not rows or text is None:
            return NOT_SCORED
        current = digest(record, text)
        judged: dict[str, tuple[Judgement, ...]] = {}
        measures: Mapping[str, Measure] = {}
        for row in rows:
            if row.text != current:
                continue
            try:
                if row.judge == MEASURES:
                    measures = MEASURED.validate_json(row.found)
                else:
                    judged[row.judge] = JUDGED.validate_json(row.found)
            except ValidationError:
                log.warning("the scores of clip %s cannot be read; merrflow score makes them again", row.clip)
        return TextScores(judged, measures)
