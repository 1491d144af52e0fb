"""What a file of another tool holds, one item for each thing that one person said, whatever the tool."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from merrflow.core.errors import InputError, listed

MAX_BYTES = 2 << 30  # of a file; it is read as a whole
_SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True)
class Answer:
    """One person's answer on one clip, not yet checked against the run."""

    place: str  # in the file, for messages
    clip: str
    sha256: str  # of the file that was shown
    annotator: str
    is_name: bool  # whether `annotator` is a name or an e-mail address, not a number that the tool gave
    label: str
    text: str  # the fine-grained text; "" if there is none
    shown_text: str | None  # the text that the person was shown; None if the file does not say
    at: str = ""  # when, in UTC; "" if the file does not say


@dataclass(frozen=True)
class Skipped:
    """Somebody was asked, and gave no answer."""

    place: str
    why: str


@dataclass(frozen=True)
class Fault:
    """What cannot be read."""

    place: str
    why: str


@dataclass(frozen=True)
class Unasked:
    """An item that nobody has looked at yet."""


Item = Answer | Skipped | Fault | Unasked


class NotAnAnswer(ValueError):
    """Why an item cannot be read, for people."""


def read_text(path: Path) -> str:
    """The file as text, without a byte order mark. Raises `InputError`."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):  # a device may never end
                raise InputError(f"{path}: neither a file nor a pipe; give an export of the tool")
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES >> 30} GiB; export it in parts")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not text.strip():
        raise InputError(f"{path}: is empty; export it again")
    return text


def json_items(text: str, path: Path) -> Iterator[tuple[int, Any] | Fault]:
    """The items of a JSON list with their numbers from 1, those before the fault too if the rest is not JSON.

    Raises `InputError` if it is no list.
    """
    decoder, place, number = json.JSONDecoder(), _after_blank(text, 0), 0
    if text[place : place + 1] != "[":
        raise InputError(f"{path}: not a JSON list of items")
    place = _after_blank(text, place + 1)
    while text[place : place + 1] != "]":
        number += 1
        try:
            value, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            yield Fault(f"item {number}", "the file ends in it, or is not JSON from here on; export it again")
            return
        yield number, value
        place = _after_blank(text, place)
        if text[place : place + 1] == ",":
            place = _after_blank(text, place + 1)
        elif text[place : place + 1] != "]":
            yield Fault(f"item {number + 1}", "the file ends before it, or is not JSON from here on; export it again")
            return


def csv_items(text: str, path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]] | Fault]:
    """The rows of a CSV or TSV file with their numbers from 1, those before the fault too.

    Raises `InputError` if it does not have the columns `needed`.
    """
    head = text[: text.find("\n")] if "\n" in text else text
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if "\t" in head else ",", strict=True)
    number = 0
    try:
        columns = next(rows, [])
        if missing := [name for name in needed if name not in columns]:
            raise InputError(f"{path}: has no column {listed(missing)}; it has {listed(columns)}")
        for number, row in enumerate((row for row in rows if row), start=1):
            if len(row) == len(columns):
                yield number, dict(zip(columns, row, strict=True))
            else:
                yield Fault(f"row {number}", f"has {len(row)} cells, not {len(columns)}; is the file whole?")
    except csv.Error as error:
        yield Fault(f"row {number + 1}", f"not CSV from here on ({error}); export it again")


def guarded(place: str, read: Callable[[], Item]) -> Item:
    """What `read` returns, or the fault that it raises."""
    try:
        return read()
    except NotAnAnswer as error:
        return Fault(place, str(error))


def text_in(values: Any, key: str) -> str:
    """A text of a JSON object. Raises `NotAnAnswer`."""
    found = values.get(key) if isinstance(values, dict) else None
    if not isinstance(found, str) or not found:
        raise NotAnAnswer(f"has no {key}; was it made by merrflow export?")
    return found


def utc(value: Any) -> str:
    """A time as texts that sort; "" for none. Raises `NotAnAnswer`."""
    if value in (None, ""):
        return ""
    try:
        found = datetime.fromisoformat(value)
        found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise NotAnAnswer(f"has a time that cannot be read: {shown(value)}") from error
    return found.isoformat(timespec="microseconds")


def shown(value: object) -> str:
    """A value from a file in a message: one short line."""
    return listed([str(value)], _SHOWN)


def _after_blank(text: str, place: int) -> int:
    while text[place : place + 1] in (" ", "\t", "\r", "\n"):
        place += 1
    return place
