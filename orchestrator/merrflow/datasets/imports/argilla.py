"""Argilla's records, as `Dataset.to_disk` and `dataset.records.to_json` of its Python package write them.

Source of the format: the package argilla 2.8, `records/_resource.py` (`Record.to_dict`). It writes neither when nor how
somebody responded, only whether the record is completed; one that is not has drafts at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from merrflow.datasets.export.argilla import LABEL, TEXT
from merrflow.datasets.imports.items import (
    Answer,
    Fault,
    Item,
    NotAnAnswer,
    Skipped,
    Unasked,
    guarded,
    json_items,
    read_text,
    shown,
    text_in,
)

RECORDS = "records.json"


def read(path: Path) -> Iterator[Item]:
    """Every answer in the file, or in the folder's records.json. Raises `InputError`."""
    file = path / RECORDS if path.is_dir() else path
    for found in json_items(read_text(file), file):
        if isinstance(found, Fault):
            yield found
            continue
        number, record = found
        place = f"item {number}"
        try:
            users = _users(record)
        except NotAnAnswer as error:
            yield Fault(place, str(error))
            continue
        if not users:
            yield Unasked()
        elif record.get("status") == "pending":
            yield Skipped(place, f"clip {shown(record['id'])} has drafts alone")
        else:
            for user in users:
                yield guarded(place, partial(_answer, place, record, user))


def _users(record: Any) -> list[str]:
    """Who responded, in the order of the file. Raises `NotAnAnswer` if the record cannot be read."""
    text_in(record, "id")
    text_in(record.get("metadata"), "sha256")
    responses = record.get("responses")
    if not isinstance(responses, dict) or not all(isinstance(each, list) for each in responses.values()):
        raise NotAnAnswer("has no responses as Argilla writes them")
    every = (one for question in (LABEL, TEXT) for one in responses.get(question, ()))
    return list(dict.fromkeys(str(one["user_id"]) for one in every if isinstance(one, dict) and one.get("user_id")))


def _answer(place: str, record: dict[str, Any], user: str) -> Item:
    clip = str(record["id"])
    values: dict[str, str] = {}
    for question in (LABEL, TEXT):
        for one in record["responses"].get(question, ()):
            if not isinstance(one, dict) or str(one.get("user_id")) != user:
                continue
            if one.get("status") in ("draft", "discarded"):
                return Skipped(place, f"clip {shown(clip)} has a response of {shown(user)} that is {one['status']}")
            if not isinstance(one.get("value"), str):
                raise NotAnAnswer(f"clip {shown(clip)} has a response that is no text: {shown(one.get('value'))}")
            values[question] = one["value"]
    if not values.get(LABEL):
        raise NotAnAnswer(f"clip {shown(clip)} has no label of {shown(user)}")
    suggested = record.get("suggestions")
    before = suggested.get(TEXT) if isinstance(suggested, dict) else None
    before = before.get("value") if isinstance(before, dict) else None
    return Answer(
        place=place,
        clip=clip,
        sha256=record["metadata"]["sha256"],
        annotator=user,
        is_name=False,
        label=values[LABEL],
        text=values.get(TEXT, ""),
        shown_text=before if isinstance(before, str) else None,
    )
