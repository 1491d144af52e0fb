"""The columns of the Hugging Face dataset: of what kind, what they mean, and how each follows from a record.

One table gives the Arrow schema, the features that the `datasets` library reads, and the card's list of columns.
Lists are written as "sequence", which every version of `datasets` understands.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from merrflow.core.spoken import SUBTITLE_SOURCES
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.vocabulary import Vocabulary
from merrflow.datasets.scoring.files import about
from merrflow.datasets.standings import standing_of, votes_in_words

MEDIA = ("image", "video", "audio")  # columns that the writer fills, for their bytes come from files


@dataclass(frozen=True)
class Kind:
    """A column's type, three times: of Arrow ("string", ["string"] for a list, a dict for a struct), of the
    `datasets` library in JSON, and of a card's YAML."""

    arrow: Any
    feature: dict[str, Any]
    yaml: dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column. `take` gives its value for an entry, None if the record has none."""

    name: str
    kind: Kind
    about: str
    take: Callable[[Entry], Any]


def value(dtype: str) -> Kind:
    """A plain value: "string", "bool", "int32", "float32", ..."""
    return Kind(dtype, {"dtype": dtype, "_type": "Value"}, {"dtype": dtype})


def several(dtype: str) -> Kind:
    """A list of plain values."""
    feature = {"feature": {"dtype": dtype, "_type": "Value"}, "_type": "Sequence"}
    return Kind([dtype], feature, {"sequence": dtype})


def struct(parts: Mapping[str, Kind]) -> Kind:
    """A group of named values. At least one: Parquet has no empty group."""
    return Kind(
        {name: kind.arrow for name, kind in parts.items()},
        {name: kind.feature for name, kind in parts.items()},
        {"struct": [{"name": name, **kind.yaml} for name, kind in parts.items()]},
    )


def file_of(kind: str) -> Kind:
    """A file's bytes and name. kind: "image", "video" or "audio"."""
    return Kind({"bytes": "binary", "path": "string"}, {"_type": kind.capitalize()}, {"dtype": kind})


def label_of(names: tuple[str, ...]) -> Kind:
    """One of these labels, as its number."""
    numbered = {str(number): name for number, name in enumerate(names)}
    return Kind("int64", {"names": list(names), "_type": "ClassLabel"}, {"dtype": {"class_label": {"names": numbered}}})


TEXT, FLAG, WHOLE, NUMBER = value("string"), value("bool"), value("int32"), value("float32")
TEXTS, NUMBERS = several("string"), several("float32")
_FILES = {
    "image": "the frame `picture_frame`: the peak frame, or one near it that says more",
    "video": "the clip",
    "audio": "the clip's sound, 16 kHz, mono; null without a sound track",
}
ORIGIN = struct(dict.fromkeys(("engine", "model", "revision", "prompt_version", "note"), TEXT))


def columns(words: Vocabulary, media: Collection[str] = MEDIA[:1]) -> tuple[Column, ...]:
    """All columns, in order. media: those of MEDIA that are wanted."""
    number = {name: place for place, name in enumerate(words.labels)}
    by_label = "one for each label, in the order of the labels' numbers"
    found = [
        Column("name", TEXT, "the clip's name, unique in the dataset", lambda e: e.record.name),
        *(Column(name, file_of(name), _FILES[name], lambda e: None) for name in MEDIA if name in media),
        Column("label", label_of(words.labels), "the pseudo-label", lambda e: number[e.record.label.label]),
        Column(
            "label_source",
            TEXT,
            "rules, table, model, or human if reviewers gave or confirmed it",
            lambda e: e.record.label.source,
        ),
        Column("label_rules", TEXT, "rule set and version", lambda e: e.record.label.rules),
        Column("label_reason", TEXT, "why the label was given", lambda e: e.record.label.reason),
        Column("label_by_rules", TEXT, "what the rules alone say", lambda e: e.record.label.ruled or None),
        Column(
            "label_supported",
            FLAG,
            "whether the label's own rule stands at the peak",
            lambda e: e.record.label.supported,
        ),
        Column(
            "standing", TEXT, "confirmed, undetermined or contradicted by other witnesses", lambda e: standing_of(e)[0]
        ),
        Column(
            "standing_reason", TEXT, "which witnesses speak for the label and against it", lambda e: standing_of(e)[1]
        ),
        Column(
            "witness_votes",
            TEXTS,
            "what each witness says of the label, and why",
            lambda e: votes_in_words(e.record.label),
        ),
        Column(
            "rule_scores",
            NUMBERS,
            f"the rules' evidence, {by_label}",
            lambda e: _aligned(e.record.label.scores, words.labels),
        ),
        Column("action_units", TEXTS, "MERR's AU_list: what supports the label", lambda e: e.record.label.action_units),
        Column("expressions", TEXTS, "a phrase for each of action_units", lambda e: e.record.label.expressions),
        Column("peak_frame", WHOLE, "number of the peak frame, from 0", lambda e: e.record.peak.index),
        Column("peak_seconds", NUMBER, "its time", lambda e: e.record.peak.timestamp),
        Column("peak_action_units", TEXTS, "all Action Units at the peak", lambda e: e.record.peak.action_units),
        Column(
            "peak_intensities",
            NUMBERS,
            "their intensities, 0 to 5; null where only presence is told",
            lambda e: [e.record.peak.intensity.get(code) for code in e.record.peak.action_units],
        ),
        Column("peak_confidence", NUMBER, "of the face there, 0 to 1", lambda e: e.record.peak.confidence),
        Column("picture_frame", WHOLE, "number of the frame in `image`, from 0", lambda e: e.record.picture_index),
        Column("picture_face_box", NUMBERS, "as `face_box`, in `image`", lambda e: e.record.picture_box),
        Column("face_box", NUMBERS, "x, y, width, height of that face in pixels", lambda e: e.record.peak.box),
        Column("persons", WHOLE, "persons followed in the clip", lambda e: e.record.subject.persons),
        Column("subject_margin", NUMBER, "of the chosen person over the next", lambda e: e.record.subject.margin),
        Column("scene", TEXT, "what `image` shows", lambda e: e.record.scene and e.record.scene.text),
        Column(
            "on_screen_text",
            TEXTS,
            "text within the picture",
            lambda e: e.record.scene.on_screen_text if e.record.scene else (),
        ),
        Column("tone", TEXT, "how the voice sounds", lambda e: e.record.tone and e.record.tone.text),
        Column(
            "tone_content",
            TEXT,
            "speech, no_speech, music or silence",
            lambda e: e.record.tone and e.record.tone.content,
        ),
    ]
    if words.prosody:
        found.append(
            Column(
                "prosody",
                struct({name: NUMBER for name, _ in words.prosody}),
                "measurements of the voice: " + ", ".join(f"{name} ({unit})" for name, unit in words.prosody),
                lambda e: _prosody(e, words),
            )
        )
    found += [
        Column(
            "speech_starts", NUMBERS, "seconds", lambda e: [s for s, _ in e.record.tone.speech] if e.record.tone else ()
        ),
        Column(
            "speech_ends", NUMBERS, "seconds", lambda e: [s for _, s in e.record.tone.speech] if e.record.tone else ()
        ),
        Column(
            "tone_claims",
            TEXTS,
            "what the tone sentence claims of the voice",
            lambda e: [claim.quality for claim in e.record.grounding],
        ),
        Column(
            "tone_verdicts",
            TEXTS,
            "each claim against what was measured: supported, contradicted, undecided, unmeasured",
            lambda e: [claim.verdict for claim in e.record.grounding],
        ),
        Column("subtitle", TEXT, "what is said", lambda e: e.record.subtitle.text),
        Column(
            "subtitle_en",
            TEXT,
            "its translation into English; null where it was not translated",
            lambda e: e.record.translation.text if e.record.translation else None,
        ),
        Column("subtitle_language", TEXT, "ISO 639-1", lambda e: e.record.subtitle.language or None),
        Column("subtitle_source", TEXT, ", ".join(SUBTITLE_SOURCES), lambda e: e.record.subtitle.source),
        Column("coarse", TEXT, "the coarse-grained description", lambda e: e.record.coarse),
        Column(
            "fine",
            TEXT,
            "the fine-grained description; null where the model gave none that counts",
            lambda e: e.fine_text,
        ),
        Column(
            "outcome",
            TEXT,
            "done; else what became of the fine-grained description: no_ground, rejected, refused, truncated, failed",
            lambda e: str(e.outcome),
        ),
        Column(
            "missing",
            TEXTS,
            "clues that the record does not have, and why",
            lambda e: [f"{clue}: {why}" for clue, why in sorted(e.record.missing.items())],
        ),
        Column(
            "distribution",
            struct(dict.fromkeys(words.modalities, NUMBERS)),
            f"how likely the reasoning model finds the labels, given all clues or those of one kind, {by_label}",
            lambda e: {name: _aligned(e.record.distribution.get(name), words.labels) for name in words.modalities},
        ),
        Column(
            "provenance",
            struct(dict.fromkeys(words.clues, ORIGIN)),
            "engine, model, revision and prompt behind each clue",
            lambda e: {clue: _origin(e, clue) for clue in words.clues},
        ),
        Column("file", TEXT, "the clip's file name", lambda e: PurePosixPath(e.record.path).name),
        Column("sha256", TEXT, "of the clip's file", lambda e: e.record.sha256),
        Column("width", WHOLE, "pixels", lambda e: e.record.probe.width),
        Column("height", WHOLE, "pixels", lambda e: e.record.probe.height),
        Column("fps", NUMBER, "frames a second", lambda e: e.record.probe.fps),
        Column("frames", WHOLE, "frames in the clip", lambda e: e.record.probe.frame_count),
        Column("seconds", NUMBER, "of video", lambda e: e.record.probe.seconds),
        Column("audio_seconds", NUMBER, "of sound; null without a sound track", lambda e: e.record.probe.audio_seconds),
        Column(
            "cuts",
            several("int32"),
            "frames at which a shot begins",
            lambda e: [s.start for s in e.record.probe.shots[1:]],
        ),
    ]
    found += [
        Column(f"score_{name}", NUMBER, f"{about(name)}; null where not measured", partial(_score, name))
        for name in words.scores
    ]
    return tuple(found)


def _score(name: str, entry: Entry) -> float | None:
    return entry.scores.values().get(name)


def _aligned(shares: Mapping[str, float] | None, labels: tuple[str, ...]) -> list[float | None] | None:
    """A value for each label; None for the whole if there is none at all."""
    return [shares.get(label) for label in labels] if shares else None


def _prosody(entry: Entry, words: Vocabulary) -> dict[str, float | None]:
    measured = entry.record.tone.measurements if entry.record.tone else {}
    return {name: measured[name][0] if name in measured else None for name, _ in words.prosody}


def _origin(entry: Entry, clue: str) -> dict[str, str] | None:
    origin = entry.record.origins.get(clue)
    return {name: getattr(origin, name) for name in ORIGIN.arrow} if origin else None
