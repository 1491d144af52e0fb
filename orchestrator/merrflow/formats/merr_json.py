"""Reads MERR's annotation JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from merrflow.core.errors import InputError
from merrflow.facs.units import action_units
from merrflow.formats.merr_annotation import NUMBER, MerrAnnotation, read_text, sentence, shown

Value = TypeVar("Value")


def read_json(path: Path, whole: bool) -> Iterator[MerrAnnotation]:
    """The clips in the file's order; whole: as for `read_annotations`. Raises `InputError`."""
    text = read_text(path)
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
            raise InputError(f"{path}: {clip!r} is not a clip name")
        if not isinstance(pairs, _Pairs):
            raise InputError(f"{path}: clip {clip!r} must be a JSON object, not {_shown(pairs)}")
        values: dict[str, Any] = {}
        for key, value in pairs:
            if key in values:
                raise InputError(f"{path}: clip {clip!r}, {key}: the key occurs twice")
            values[key] = value
        yield _annotation(_ClipObject(path, clip, values, whole))


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs, so that a key that occurs twice is seen."""


@dataclass(frozen=True)
class _ClipObject:
    """One clip's JSON object, with the errors that its values raise."""

    path: Path
    clip: str
    values: Mapping[str, Any]
    whole: bool = True

    def unless_left_out(self, read: Callable[[str], Value], key: str) -> Value | None:
        """None for a key that may be missing and is."""
        return read(key) if self.whole or key in self.values else None

    def fault(self, key: str, message: str) -> InputError:
        return InputError(f"{self.path}: clip {self.clip!r}, {key}: {message}")

    def get(self, key: str, kind: type[Value], kind_name: str) -> Value:
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
        if isinstance(value, str) and NUMBER.fullmatch(value):
            return int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9:
            return value
        self.get(key, object, "a frame number")
        raise self.fault(key, f'must be a frame number, such as "38" or 38, not {_shown(value)}')


def _annotation(place: _ClipObject) -> MerrAnnotation:
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
        sentence=sentence(place.optional("text")),
        peak_index=place.unless_left_out(place.frame, "peak_index"),
        peak_units=None if peak_units is None else tuple(dict.fromkeys(peak_units)),
        units=units,
        phrases=phrases,
        tone=place.optional("audio_prior_list"),
        coarse=place.optional("caption"),
        fine=place.optional("smp_reason_caption"),
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: object) -> str:
    return "a JSON object" if isinstance(value, _Pairs) else shown(value)
