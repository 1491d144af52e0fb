"""compare.json and compare.csv: what came of a comparison, for programs and for spreadsheets."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from merrflow.core.atomic_files import whole_text
from merrflow.core.errors import InputError, unwritable
from merrflow.core.paths import path_text
from merrflow.datasets.export.text import cell
from merrflow.datasets.preference.pairs import Pair
from merrflow.datasets.preference.result import Comparison, Judged

VERSION = "1"  # of compare.json
JSON_NAME, CSV_NAME = "compare.json", "compare.csv"
_BY = "merrflow compare"
_DIGITS = 4  # that count, of every number
_IDENTICAL = "identical"


def as_values(found: Comparison) -> dict[str, Any]:
    """What compare.json holds. Equal answers give equal values."""
    matching = found.matching
    return {
        "written_by": _BY,
        "version": VERSION,
        "text": matching.a.kind.value,
        "a": path_text(Path(matching.a.name)),
        "b": path_text(Path(matching.b.name)),
        "clips": {
            "compared": len(found.asked) + len(found.identical),
            "identical_texts": len(found.identical),
            "copies": matching.copies,
            "only_in_a": list(matching.only_a),
            "only_in_b": list(matching.only_b),
            "without_text_in_a": list(matching.without_a),
            "without_text_in_b": list(matching.without_b),
        },
        "judges": [_judged(one) for one in found.judged],
    }


def write(found: Comparison, folder: Path) -> list[Path]:
    """Writes both files, each whole or not at all. Returns their paths. Raises `InputError`, also if there is a
    compare.json of somebody else, and `OutputsGone`."""
    paths = [folder / JSON_NAME, folder / CSV_NAME]
    try:
        with whole_text(paths[0]) as file:
            file.write(json.dumps(as_values(found), ensure_ascii=False, indent=1) + "\n")
        with whole_text(paths[1]) as file:
            file.write("\ufeff")  # without it Excel reads UTF-8 as the system's old code page
            rows = list(_rows(found))
            writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
            writer.writerow(rows[0])
            writer.writerows([[cell(str(value))[0] for value in row.values()] for row in rows])
    except OSError as error:
        raise unwritable(Path(error.filename or folder), error, "choose another folder with --to") from error
    return paths


def check_folder(folder: Path) -> None:
    """Raises `InputError` if files of somebody else would be replaced, or it is no folder."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is no folder; choose another with --to")
    found = folder / JSON_NAME
    try:
        ours = not found.exists() or json.loads(found.read_text(encoding="utf-8"))["written_by"] == _BY
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours or ((folder / CSV_NAME).exists() and not found.exists()):
        raise InputError(f"{folder}: has a {JSON_NAME} or {CSV_NAME} that merrflow compare did not write; choose --to")


def _judged(one: Judged) -> dict[str, Any]:
    values: dict[str, Any] = _plain(one)
    del values["outcomes"]
    return values


def _rows(found: Comparison) -> Iterator[dict[str, Any]]:
    """A row for each pair and judge, in order of name."""
    for pair in sorted((*found.asked, *found.identical), key=lambda pair: pair.b.name):
        if pair.identical:
            yield _row(pair, "", _IDENTICAL)
        elif not found.judged:
            yield _row(pair, "", "open")
        for one in found.judged if not pair.identical else ():
            yield _row(pair, one.name, one.outcomes[pair.id].value)


def _row(pair: Pair, judge: str, outcome: str) -> dict[str, Any]:
    return {
        "name_a": pair.a.name,
        "name_b": pair.b.name,
        "sha256": pair.sha256,
        "label_a": pair.a.label,
        "label_b": pair.b.label,
        "judge": judge,
        "outcome": outcome,
        "text_a": pair.a.text,
        "text_b": pair.b.text,
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
