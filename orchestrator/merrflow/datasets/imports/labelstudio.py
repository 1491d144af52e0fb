"""Label Studio's exports: JSON, JSON-MIN, CSV and TSV, of projects with the interface of `merrflow export`.

Source of the formats: exports of Label Studio 1.23, and its documentation, "Export annotations and data".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from merrflow.datasets.export.labelstudio import LABEL, SHOWN_TEXT, TEXT
from merrflow.datasets.imports.items import (
    Answer,
    Fault,
    Item,
    NotAnAnswer,
    Skipped,
    Unasked,
    csv_items,
    guarded,
    json_items,
    read_text,
    shown,
    text_in,
    utc,
)


def read(path: Path) -> Iterator[Item]:
    """Every answer in the file, in its order. Raises `InputError` if it is no export of Label Studio."""
    text = read_text(path)
    if text.lstrip()[0] not in "[{":
        for found in csv_items(text, path, ("name", "sha256", "annotator", LABEL)):
            if isinstance(found, Fault):
                yield found
            else:
                number, row = found
                yield guarded(f"row {number}", partial(_flat, f"row {number}", row))
        return
    for item in json_items(text, path):
        if isinstance(item, Fault):
            yield item
            continue
        number, task = item
        place = f"item {number}"
        if isinstance(task, dict) and isinstance(task.get("annotations"), list):
            if not task["annotations"]:
                yield Unasked()
            for one in task["annotations"]:
                yield guarded(place, partial(_full, place, task, one))
        else:
            yield guarded(place, partial(_flat, place, task))


def _full(place: str, task: dict[str, Any], annotation: Any) -> Item:
    """One annotation of a task in JSON."""
    data = task["data"] if isinstance(task.get("data"), dict) else {}
    clip, sha256 = text_in(data, "name"), text_in(data, "sha256")
    if not isinstance(annotation, dict):
        raise NotAnAnswer("has an annotation that is none")
    annotator, is_name = _annotator(annotation.get("completed_by"))
    if annotation.get("was_cancelled"):
        return Skipped(place, f"clip {shown(clip)} was skipped by {shown(annotator)}")
    results = annotation.get("result")
    values: dict[str, Any] = {}
    for one in results if isinstance(results, list) else []:
        if isinstance(one, dict) and isinstance(one.get("value"), dict):
            values[str(one.get("from_name"))] = one["value"]
    return _answer(place, clip, sha256, annotator, is_name, values, data, annotation.get("updated_at"))


def _flat(place: str, row: Any) -> Item:
    """One annotation in JSON-MIN or a row of CSV."""
    clip, sha256 = text_in(row, "name"), text_in(row, "sha256")
    if row.get("annotator") in (None, "") and row.get(LABEL) in (None, ""):
        return Unasked()
    annotator, is_name = _annotator(row.get("annotator"))
    return _answer(place, clip, sha256, annotator, is_name, row, row, row.get("updated_at"))


def _answer(
    place: str,
    clip: str,
    sha256: str,
    annotator: str,
    is_name: bool,
    values: Mapping[str, Any],
    data: Mapping[str, Any],
    at: Any,
) -> Answer:
    """values: of the controls, by name. data: of the task."""
    labels = _texts(values.get(LABEL), "choices")
    if len(labels) != 1:
        raise NotAnAnswer(f"clip {shown(clip)} has {f'{len(labels)} labels, not one' if labels else 'no label'}")
    before = data.get(SHOWN_TEXT)
    return Answer(
        place=place,
        clip=clip,
        sha256=sha256,
        annotator=annotator,
        is_name=is_name,
        label=labels[0],
        text="\n".join(_texts(values.get(TEXT), "text")),
        shown_text=before if isinstance(before, str) else None,
        at=utc(at),
    )


def _annotator(value: Any) -> tuple[str, bool]:
    """Who, and whether that is a name: JSON has a number or a person, the other dialects the number or an address."""
    if isinstance(value, dict):
        names = " ".join(str(value[key]) for key in ("first_name", "last_name") if value.get(key))
        if found := value.get("email") or names:
            return str(found), True
        value = value.get("id")
    if isinstance(value, int | str) and not isinstance(value, bool) and str(value).strip():
        text = str(value).strip()
        return text, not text.isdecimal()
    raise NotAnAnswer("does not say who annotated it")


def _texts(value: Any, key: str) -> list[str]:
    """The texts of a control in any dialect: "a", ["a"], {key: ["a"]}, and the last two as JSON in a cell."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            parsed = value
        value = parsed if isinstance(parsed, list | dict) else value
    if isinstance(value, dict):
        value = value.get(key)
    if value is None or value == "":
        return []
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in values):
        raise NotAnAnswer(f"has {key} that is no text: {shown(value)}")
    return [one for one in values if one.strip()]
