"""Reads MERR's own files back: the annotation JSON, the TXT beside it, and the subtitle CSV.

Source of the formats: the annotations of Emotion-LLaMA (Cheng et al. 2024, NeurIPS) and its dataset class. What is
wrong is named by file, clip (or line), key and value. Known quirks of the published files are no errors: `peak_index`
as text, AU14 written as "AU15" under `sad` (so that AU15 may stand twice), an empty `peak_AU_list`, and phrases that
are mis-spelt or stand at another Action Unit. Keys that are not read are let be.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from merrflow.core.errors import InputError, listed
from merrflow.facs.units import action_units

_NUMBER = re.compile(r"[0-9]{1,9}")
_NO_SENTENCE = frozenset({"", "None"})  # the published files write Python's None where nothing is said
_SHOWN = 80  # characters of a wrong value in a message


@dataclass(frozen=True)
class MerrAnnotation:
    """What one of MERR's files says of one clip; None: the file does not say."""

    name: str
    label: str | None = None  # pseu_emotion
    frame_count: int | None = None  # TXT only
    sentence: str | None = None  # text; of the CSV: sentence
    peak_index: int | None = None  # frame number from 0
    peak_units: tuple[str, ...] | None = None  # peak_AU_list: all AUs present at the peak
    units: tuple[str, ...] | None = None  # AU_list as written: the label's AUs that are present
    phrases: tuple[str, ...] | None = None  # visual_prior_list: one for each of `units`
    tone: str | None = None  # audio_prior_list
    coarse: str | None = None  # caption
    fine: str | None = None  # smp_reason_caption
    line: int | None = field(default=None, compare=False)  # in the file; TXT and CSV only

    def place(self, file: object) -> str:
        """Where in the file the clip stands, for messages."""
        line = f", line {self.line}" if self.line else ""
        return f"{file}{line}: clip {self.name!r}"


def read_annotations(path: Path, whole: bool = True) -> dict[str, MerrAnnotation]:
    """All clips of a MERR file, by name, in the file's order: .json, .txt, or .csv.

    `whole`: whether every clip of a JSON must have what MERR's have; else some of its keys suffice. Raises InputError
    at the first fault.
    """
    from_json = partial(_json, whole=whole)
    readers: dict[str, Callable[[Path], Iterator[MerrAnnotation]]] = {".json": from_json, ".txt": _txt, ".csv": _csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: not one of MERR's files, which end in .json, .txt or .csv")
    found: dict[str, MerrAnnotation] = {}
    for one in reader(path):
        if one.name in found:
            raise InputError(f"{one.place(path)} stands twice; a clip has one annotation")
        found[one.name] = one
    if not found:
        raise InputError(f"{path}: holds no clip")
    return found


def read_labels(path: Path, normal: Callable[[str], str] = str) -> dict[str, str]:
    """Label by clip name, from JSON (`pseu_emotion`), TXT, or a CSV with the columns `name` and `label`.

    `normal`: gives a label its proper word, or raises ValueError, such as `RuleSet.normal`. Clips whose label is blank
    in a CSV are left out. Raises InputError, also where no clip has a label.
    """
    found: dict[str, str] = {}
    for one in read_annotations(path, whole=False).values():
        try:
            if one.label:
                found[one.name] = normal(one.label)
        except ValueError as error:
            raise InputError(f"{one.place(path)}: {error}") from error
    if not found:
        raise InputError(f"{path}: holds no labels; a CSV needs the columns `name` and `label`")
    return found


def read_sentences(path: Path) -> dict[str, str]:
    """What is said by clip name, from JSON (`text`) or a CSV with the columns `name` and `sentence`.

    Clips in which nothing is said are left out. Raises InputError, also where no clip has a sentence.
    """
    found = {one.name: one.sentence for one in read_annotations(path, whole=False).values() if one.sentence}
    if not found:
        raise InputError(f"{path}: holds no subtitles; JSON has them under `text`, a CSV in the column `sentence`")
    return found


# --- JSON ---------------------------------------------------------------------------------------------------------


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs, so that a key that stands twice is seen."""


@dataclass(frozen=True)
class _Place:
    """One clip's object, and how to complain about it."""

    path: Path
    clip: str
    values: Mapping[str, Any]
    whole: bool = True

    def unless_left_out(self, read: Callable[[str], Any], key: str) -> Any:
        """None for a key that may be missing and is."""
        return read(key) if self.whole or key in self.values else None

    def fault(self, key: str, message: str) -> InputError:
        return InputError(f"{self.path}: clip {self.clip!r}, {key}: {message}")

    def get(self, key: str, kind: type, kind_name: str) -> Any:
        value = self.values.get(key)
        if value is None and key not in self.values:
            raise self.fault(key, f"is missing; the clip has {_shown(' '.join(self.values))}")
        if not isinstance(value, kind) or isinstance(value, _Pairs):
            raise self.fault(key, f"must be {kind_name}, not {_shown(value)}")
        return value

    def text(self, key: str) -> str:
        value = self.get(key, str, "text")
        if not _is_unicode(value):
            raise self.fault(key, f"{_shown(value)} is not valid Unicode")
        return value

    def optional(self, key: str) -> str | None:
        return self.text(key) if key in self.values else None

    def texts(self, key: str) -> tuple[str, ...]:
        values = self.get(key, list, "a list of texts")
        for value in values:
            if not isinstance(value, str) or not _is_unicode(value):
                raise self.fault(key, f"must be a list of texts, but has {_shown(value)}")
        return tuple(values)

    def codes(self, key: str) -> tuple[str, ...]:
        codes = self.texts(key)
        for code in codes:
            if code not in action_units():
                raise self.fault(key, f"unknown Action Unit {_shown(code)}; they are written as AU04 or AU12")
        return codes

    def frame(self, key: str) -> int:
        value = self.values.get(key)
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9:
            return value
        self.get(key, object, "a frame number")
        raise self.fault(key, f'must be a frame number, such as "38" or 38, not {_shown(value)}')


def _json(path: Path, whole: bool) -> Iterator[MerrAnnotation]:
    text = _text(path)
    try:
        content = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated")
        what = "the JSON ends too early; is the file cut off?" if cut else f"not JSON: {error.msg}"
        raise InputError(f"{path}, line {error.lineno}, column {error.colno}: {what}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON that can be read ({error})") from error
    if not isinstance(content, _Pairs):
        raise InputError(f"{path}: must hold one JSON object with the clips by name, not {_shown(content)}")
    for clip, pairs in content:
        if not clip.strip() or not _is_unicode(clip):
            raise InputError(f"{path}: {clip!r} is no clip name")
        if not isinstance(pairs, _Pairs):
            raise InputError(f"{path}: clip {clip!r} must be a JSON object, not {_shown(pairs)}")
        values: dict[str, Any] = {}
        for key, value in pairs:
            if key in values:
                raise InputError(f"{path}: clip {clip!r}, {key}: the key stands twice")
            values[key] = value
        yield _annotation(_Place(path, clip, values, whole))


def _annotation(place: _Place) -> MerrAnnotation:
    label = place.unless_left_out(place.text, "pseu_emotion")
    if label is not None and not label.strip():
        raise place.fault("pseu_emotion", "the label is blank")
    units = place.unless_left_out(place.codes, "AU_list")
    phrases = place.unless_left_out(place.texts, "visual_prior_list")
    peak_units = place.unless_left_out(place.codes, "peak_AU_list")
    if units is not None and phrases is not None and len(units) != len(phrases):
        raise place.fault(
            "visual_prior_list",
            f"{len(phrases)} phrases for the {len(units)} Action Units of AU_list ({' '.join(units)}); "
            "there must be one for each",
        )
    return MerrAnnotation(
        name=place.clip,
        label=label and label.strip(),
        sentence=_sentence(place.optional("text")),
        peak_index=place.unless_left_out(place.frame, "peak_index"),
        peak_units=None if peak_units is None else tuple(dict.fromkeys(peak_units)),
        units=units,
        phrases=phrases,
        tone=place.optional("audio_prior_list"),
        coarse=place.optional("caption"),
        fine=place.optional("smp_reason_caption"),
    )


# --- TXT and CSV --------------------------------------------------------------------------------------------------


def _txt(path: Path) -> Iterator[MerrAnnotation]:
    for number, line in enumerate(_text(path).split("\n"), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 3:
            raise InputError(f"{path}, line {number}: must be `name frame_count label`, not {_shown(line.strip())}")
        name, frames, label = words
        if not _NUMBER.fullmatch(frames):
            raise InputError(f"{path}, line {number}: clip {name!r}: {_shown(frames)} is no number of frames")
        yield MerrAnnotation(name, label=label, frame_count=int(frames), line=number)


def _csv(path: Path) -> Iterator[MerrAnnotation]:
    reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        columns = [column.strip() for column in reader.fieldnames or ()]
        if "name" not in columns or not {"sentence", "label"} & set(columns):
            raise InputError(
                f"{path}: the table needs the columns `name` and `sentence` or `label`; it has: {listed(columns)}"
            )
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if twice:
            raise InputError(f"{path}, line 1: the column {twice[0]!r} stands twice")
        reader.fieldnames = columns
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            if None in row or None in row.values():
                cells = sum(value is not None for key, value in row.items() if key is not None)
                cells += len(row.get(None) or ())
                raise InputError(
                    f"{place}: {cells} cells for {len(columns)} columns; a text with commas stands in double quotes"
                )
            if not row["name"].strip():
                raise InputError(f"{place}: the name is blank")
            yield MerrAnnotation(
                row["name"].strip(),
                label=(row.get("label") or "").strip() or None,
                sentence=_sentence(row.get("sentence")),
                line=reader.line_num,
            )
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not a CSV table ({error})") from error


# --- what they share ----------------------------------------------------------------------------------------------


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: cannot be read (not a file)")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8 (byte {error.start})") from error
    return text


def _sentence(text: str | None) -> str | None:
    text = (text or "").strip()
    return None if text in _NO_SENTENCE else text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: Any) -> str:
    if isinstance(value, _Pairs):
        return "a JSON object"
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
