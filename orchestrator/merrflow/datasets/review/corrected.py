"""A record as people corrected it. The ledger's own record stays as the run made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from merrflow.core.labels import Label, Standing, Vote
from merrflow.core.labels import Verdict as Bearing
from merrflow.core.measurements import Peak, ShownFrame
from merrflow.core.records import Outcome, Record
from merrflow.core.texts import Origin, Reasoning
from merrflow.datasets.review.verdicts import Decision
from merrflow.stages.coarse import caption
from merrflow.stages.coarse_template import load_template

HUMAN = "human"  # as the source of labels and subtitles, and as the engine of texts
_PRESENT = 1.0  # an intensity from which a unit counts as present at a peak that was moved: FACS's A, a trace


def corrected(record: Record, outcome: Outcome, reason: str, decision: Decision) -> tuple[Record, Outcome, str]:
    """The record, its outcome and reason as people decided. As they were if the clip's bytes are others now, or if the
    clip is rejected, which is for `merrflow curate`."""
    if decision.sha256 != record.sha256 or decision.rejected:
        return record, outcome, reason
    other_label = decision.label != record.label.label
    if decision.peak is not None and decision.peak != record.peak.index:
        record = _with_peak(record, decision.peak, _by(decision))
    if decision.subtitle is not None and decision.subtitle != (record.subtitle.text or ""):
        record = _with_subtitle(record, decision)
    record = replace(record, label=_label(record.label, decision))
    if decision.text is not None:
        return _with_text(record, decision.text, _by(decision)), Outcome.DONE, ""
    if other_label and outcome is Outcome.DONE:
        why = f"written for another label; {_by(decision)} said {decision.label}"
        return replace(record, missing={**record.missing, "reasoning": why}), Outcome.REJECTED, why
    return record, outcome, reason


def _by(decision: Decision) -> str:
    return ", ".join(decision.reviewers)


def _label(found: Label, decision: Decision) -> Label:
    confirmed = decision.label == found.label
    who = _by(decision)
    reason = (
        f"{decision.label}: {'confirmed' if confirmed else 'given'} by {who}; before, by {found.source}: {found.reason}"
    )
    vote = Vote(HUMAN, "for", decision.label, float(len(decision.reviewers)), f"said by {who}")
    kept = found.standing.votes if confirmed and found.standing else ()  # else they are about the other label
    rules = found.standing.rules if found.standing else ""
    return replace(
        found,
        label=decision.label,
        source=HUMAN,
        reason=reason,
        supported=found.supported if confirmed else None,
        standing=Standing(Bearing.CONFIRMED, (*kept, vote), f"{HUMAN} for", rules),
    )


def _with_peak(record: Record, index: int, who: str) -> Record:
    """At another frame: its units are those whose measured intensity there is at least a trace."""
    at, timestamp = _at(record, index)
    present = {code: value for code, value in sorted(at.items()) if value >= _PRESENT}
    peak = Peak(
        index=index,
        timestamp=timestamp,
        action_units=tuple(present),
        intensity=present,
        frequent=record.peak.frequent,
        total=sum(at.get(code, 0.0) for code in record.peak.frequent),
        reason=f"set by {who}",
    )
    pairs = zip(record.label.action_units, record.label.expressions, strict=False)
    kept = [(code, phrase) for code, phrase in pairs if code in present]
    label = replace(
        record.label, action_units=tuple(code for code, _ in kept), expressions=tuple(phrase for _, phrase in kept)
    )
    shown = record.shown
    if shown is None and record.peak.box is not None:  # the picture is still the one that the run made
        shown = ShownFrame(record.peak.index, record.peak.timestamp, record.peak.box, "the peak that the run found")
    return replace(record, peak=peak, label=label, shown=shown)


def _at(record: Record, index: int) -> tuple[Mapping[str, float], float]:
    """Intensities at the frame, or at the nearest in which the subject is seen; and the frame's time in seconds."""
    curves = record.curves
    if not curves.frames:
        return {}, index / record.probe.fps if record.probe.fps > 0 else 0.0
    near = min(range(len(curves.frames)), key=lambda place: abs(curves.frames[place] - index))
    values = {code: series[near] for code, series in curves.intensity.items() if near < len(series)}
    if curves.frames[near] == index or record.probe.fps <= 0:
        return values, curves.timestamps[near]
    return values, curves.timestamps[near] + (index - curves.frames[near]) / record.probe.fps


def _with_subtitle(record: Record, decision: Decision) -> Record:
    """The coarse text is put together again with it. A translation was of the other words."""
    text = decision.subtitle or None
    subtitle = replace(record.subtitle, text=text, source=HUMAN, reason=f"written by {_by(decision)}", confidence=None)
    template = load_template()
    return replace(
        record,
        subtitle=subtitle,
        translation=None,
        coarse=caption(record.label, record.scene, record.tone, subtitle, template),
        coarse_template=template.version,
    )


def _with_text(record: Record, text: str, who: str) -> Record:
    before = record.reasoning
    reasoning = Reasoning(text, before.seed if before else 0, 0, 0)
    origin = Origin(HUMAN, "", "", "", f"written or corrected by {who}", 0.0, 0.0)
    missing = {clue: why for clue, why in record.missing.items() if clue != "reasoning"}
    return replace(record, reasoning=reasoning, origins={**record.origins, "reasoning": origin}, missing=missing)
