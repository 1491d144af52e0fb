"""One record as the template shows it: numbers put into words, clues beside who wrote them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from merrflow.core.records import Record
from merrflow.core.texts import Origin
from merrflow.datasets.agreements import in_words
from merrflow.datasets.entries import Entry
from merrflow.datasets.pictures import Pictures
from merrflow.datasets.report.chart import Chart, draw, facs_name
from merrflow.datasets.report.picture import Picture, thumbnail
from merrflow.datasets.standings import votes_in_words

KEY_MEASUREMENTS = (  # of the tone, shown with its sentence; the others are one click away
    "pitch_mean",
    "pitch_range",
    "pitch_slope",
    "loudness",
    "loudness_dynamics",
    "articulation_rate",
    "pause_total",
    "harmonics_to_noise",
)
VIEWS = {"all": "all clues", "face": "the face alone", "voice": "the voice alone", "words": "the words alone"}
VIEWED = 3  # labels named of each
CONTENTS = {
    "speech": "speech",
    "no_speech": "sound without speech",
    "music": "music without speech",
    "silence": "silence",
    "no_track": "no sound track",
}


@dataclass(frozen=True)
class Unit:
    """One Action Unit at the peak."""

    code: str
    name: str  # as in the FACS manual; "" if unknown
    intensity: str  # "2.4"; "" if the engine reports presence only
    phrase: str  # how the record words it; "" if the record does not use it


@dataclass(frozen=True)
class Card:
    """One record, ready to show."""

    record: Record
    outcome: str
    reason: str  # why it has no fine-grained text
    fine: str  # the fine-grained text; "" if there is none that counts
    unused: str  # what the model wrote if that does not count as one
    picture: Picture | None
    chart: Chart | None
    facts: tuple[str, ...]  # about the file
    used: tuple[Unit, ...]  # what the label rests on
    others: tuple[Unit, ...]  # also present at the peak
    tone_key: tuple[str, ...]  # what the sound holds, and its key measurements
    tone_more: tuple[str, ...]
    scene_measured: tuple[str, ...]
    votes: tuple[str, ...]  # what each witness says of the label
    second: tuple[tuple[str, str, str], ...]  # second engines: who on which clue, what it says, how far it agrees
    views: tuple[str, ...]  # what the model makes of the clues, in a line each

    def origin(self, clue: str) -> Origin | None:
        """Who wrote a clue."""
        return self.record.origins.get(clue)


def card(entry: Entry, pictures: Pictures, longest: int) -> Card:
    """The card of one record; reads the picture of its peak frame."""
    record = entry.record
    written = record.reasoning.text if record.reasoning else ""
    phrases = dict(zip(record.label.action_units, record.label.expressions, strict=False))
    used = [_unit(code, record, phrases.get(code, "")) for code in record.label.action_units]
    others = [_unit(code, record, "") for code in record.peak.action_units if code not in phrases]
    tone = record.tone.measurements if record.tone else {}
    key = [name for name in KEY_MEASUREMENTS if name in tone]
    return Card(
        record=record,
        outcome=str(entry.outcome),
        reason="" if entry.is_fine else entry.reason or record.missing.get("reasoning", ""),
        fine=entry.fine_text or "",
        unused="" if entry.is_fine else written,
        picture=thumbnail(pictures.of(record), longest),
        chart=draw(record),
        facts=_facts(record),
        used=tuple(used),
        others=tuple(others),
        tone_key=(*_content(record), *(measured(name, tone[name]) for name in key)),
        tone_more=tuple(measured(*item) for item in tone.items() if item[0] not in key),
        scene_measured=tuple(measured(*item) for item in record.scene.measurements.items()) if record.scene else (),
        votes=tuple(votes_in_words(record.label)),
        second=tuple(in_words(record)),
        views=tuple(_view(name, record) for name in record.distribution),
    )


def words(name: str) -> str:
    """An identifier as words: "pitch_mean" -> "pitch mean"."""
    return name.replace("_", " ")


def number(value: float) -> str:
    """Three significant digits, never in powers of ten for what people read: 1234.5 -> "1234", 0.12345 -> "0.123"."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def measured(name: str, quantity: tuple[float, str]) -> str:
    """A measurement in words: "pitch mean 212 Hz"; the unit "1" is a plain number."""
    value, unit = quantity
    return f"{words(name)} {number(value)}" + ("" if unit in ("", "1") else f" {unit}")


def short_revision(revision: str) -> str:
    """A revision with long hashes cut to eight digits."""
    return re.sub(r"([0-9a-f]{8})[0-9a-f]{8,}", r"\1", revision)


def plural(count: int, noun: str) -> str:
    """ "1 clip", "1,200 clips"."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _unit(code: str, record: Record, phrase: str) -> Unit:
    value = record.peak.intensity.get(code)
    return Unit(code, facs_name(code), "" if value is None else f"{value:.1f}", phrase)


def _view(name: str, record: Record) -> str:
    """ "Given all clues, SmolLM2-135M-Instruct finds likely: happy 62 %, neutral 12 %, doubt 5 %"."""
    best = sorted(record.distribution[name].items(), key=lambda item: (-item[1], item[0]))[:VIEWED]
    origin = record.origins.get(f"score_{name}")
    return f"Given {VIEWS.get(name, name)}, {origin.model if origin else 'the model'} finds likely: " + ", ".join(
        f"{label} {100 * share:.0f} %" for label, share in best
    )


def _content(record: Record) -> tuple[str, ...]:
    content = record.tone.content if record.tone else ""
    return (CONTENTS.get(content, content),) if content else ()


def _facts(record: Record) -> tuple[str, ...]:
    probe = record.probe
    sound = "no sound" if probe.audio_seconds is None else f"sound {probe.audio_seconds:.1f} s"
    return (
        f"{probe.seconds:.1f} s",
        plural(probe.frame_count, "frame"),
        f"{number(probe.fps)} frames/s",
        f"{probe.width} × {probe.height}",
        plural(max(1, len(probe.shots)), "shot"),
        f"{sound} ({probe.sound})" if probe.sound else sound,
        *([f"damaged: {plural(probe.damaged_packets, 'packet')} lost"] if probe.damaged_packets else ()),
        *([f"{plural(probe.damaged_frames, 'frame')} mended by the decoder"] if probe.damaged_frames else ()),
    )
