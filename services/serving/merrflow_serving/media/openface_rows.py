"""The rows of an OpenFace CSV, checked value by value; openface_csv.py turns them into faces.

Standard library only, so that anything that reads such a file can import it.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from merrflow_serving.errors import InvalidInput

if TYPE_CHECKING:
    from _csv import Reader

MAX_ROW_BYTES = 16_384  # OpenFace 2's 714 columns take about 7,000
LANDMARKS = tuple(f"{axis}_{number}" for axis in "xy" for number in range(68))
POSE, PLACE = ("pose_Rx", "pose_Ry", "pose_Rz"), ("pose_Tx", "pose_Ty", "pose_Tz")
# Whatever begins like a unit is one, or a typing error that would silently leave it out.
_UNIT = re.compile(r"[Aa][Uu](\d{1,4})(?:_([rc])$)?.*")
# What C++ libraries write for what is not a number, old Windows ones too: -nan(ind), 1.#QNAN, -1.#IND00.
_NO_NUMBER = re.compile(r"([-+]?(nan(\(\w*\))?|inf(inity)?|\d\.#(qnan|snan|ind|inf)0*))?", re.IGNORECASE)


class OpenFaceError(InvalidInput):
    """A CSV that cannot be OpenFace's output for this clip. Names file, line, column and value."""

    reason = "OPENFACE_CSV"

    def __init__(self, message: str) -> None:
        # File names that are not UTF-8 reach Python as lone surrogates, which no ledger can store,
        text = message.encode(errors="backslashreplace").decode()
        # and the cells of a damaged file can contain control characters.
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


@dataclass(frozen=True)
class Columns:
    """The position of each value in a row."""

    path: Path
    names: tuple[str, ...]
    values: tuple[int, ...]  # positions of all that is read of a face, in the order of `order`; intensities first
    order: dict[str, int]  # column name -> index among those values
    intensity: dict[str, str]  # "AU06" -> column
    presence: dict[str, str]

    @property
    def units(self) -> tuple[str, ...]:
        """The Action Units that the file has, ascending."""
        return tuple(sorted({*self.intensity, *self.presence}))

    def places(self, names: Sequence[str]) -> list[int] | None:
        """The indices of these columns among a row's values; None if the file does not have all of them."""
        return [self.order[name] for name in names] if all(name in self.order for name in names) else None


@dataclass(frozen=True)
class Row:
    """One face in one frame."""

    line: int  # in the file, from 1
    frame: int | None  # as the file counts; None if the row is damaged there
    face_id: int
    confidence: float
    values: tuple[float, ...] | None  # None: the face was lost
    timestamp: float | None = None  # seconds, if the file has it
    fault: str = ""  # why a damaged row has no values


def read_rows(path: Path, *, known: Collection[str] | None = None, repair: bool = False) -> tuple[Columns, list[Row]]:
    """All that is used of the file. known: the Action Units that it may contain, None for any. repair: whether a row
    that is too short is one without values.

    Raises `OpenFaceError`.
    """
    with _open(path) as file:
        table = csv.reader(_lines(path, file))
        try:
            columns = _columns(path, _header(path, next(table, [])), known)
            return columns, list(_rows(table, columns, repair))
        except csv.Error as error:
            raise OpenFaceError(f"{path}, line {table.line_num}: not a CSV table ({error})") from error
        except UnicodeDecodeError as error:
            raise OpenFaceError(f"{path}: not a text in UTF-8, as OpenFace writes it ({error.reason})") from error


def read_header(path: Path) -> tuple[str, ...]:
    """The column names of a file, without blanks. Raises `OpenFaceError`."""
    with _open(path) as file:
        try:
            return _header(path, next(csv.reader(_lines(path, file)), []))
        except (csv.Error, UnicodeDecodeError) as error:
            raise OpenFaceError(f"{path}, line 1: not a CSV table in UTF-8 ({error})") from error


def _open(path: Path) -> io.TextIOWrapper:
    try:
        if not path.is_file():
            raise OpenFaceError(f"{path}: no such file")
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise OpenFaceError(f"{path}: cannot be read: {error.strerror}") from error


def _lines(path: Path, file: io.TextIOWrapper) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: file.readline(2 * MAX_ROW_BYTES), ""), 1):
        if "\0" in line:
            raise OpenFaceError(f"{path}, line {number}: contains NUL bytes; the file is damaged")
        if len(line) >= 2 * MAX_ROW_BYTES:
            raise OpenFaceError(f"{path}, line {number}: longer than any row of OpenFace")
        yield line


def _header(path: Path, cells: Sequence[str]) -> tuple[str, ...]:
    names = tuple(cell.strip() for cell in cells)
    if not any(names):
        raise OpenFaceError(f"{path}: the file is empty" if not names else f"{path}, line 1: no column names")
    for name in ("frame", "confidence", "success"):
        if name not in names:
            hint = "; FaceLandmarkImg's files are for single pictures" if "face" in names else ""
            hint = hint or ("; its columns are not separated by commas" if len(names) == 1 else "")
            raise OpenFaceError(f"{path}, line 1: no column {name}, which OpenFace writes for videos{hint}")
    return names


def _columns(path: Path, names: tuple[str, ...], known: Collection[str] | None) -> Columns:
    intensity: dict[str, str] = {}
    presence: dict[str, str] = {}
    for name in names:
        match = _UNIT.fullmatch(name)
        if match is None:
            continue
        code = f"AU{int(match[1]):02}"
        if match[2] is None or (known is not None and code not in known):
            which = f"known are {' '.join(known)}" if known else "they are named AUxx"
            fault = f"unknown Action Unit {code!r}; {which}, each as _r (intensity) and _c (presence)"
            raise OpenFaceError(f"{path}, line 1, column {name}: {fault}")
        kind = intensity if match[2] == "r" else presence
        if code in kind and kind[code] != name:
            raise OpenFaceError(f"{path}, line 1: columns {kind[code]} and {name} are the same")
        kind[code] = name
    if not intensity and not presence:
        raise OpenFaceError(f"{path}, line 1: no Action Unit columns (AU01_r, AU01_c, ...); run OpenFace with -aus")
    wanted = [*intensity.values(), *presence.values()]
    for group in (LANDMARKS, POSE, PLACE):
        if all(name in names for name in group):
            wanted += group
    for name in ("frame", "face_id", "confidence", "success", *wanted):
        if names.count(name) > 1:
            raise OpenFaceError(f"{path}, line 1: column {name} occurs twice")
    places = {name: place for place, name in enumerate(names)}
    return Columns(
        path=path,
        names=names,
        values=tuple(places[name] for name in wanted),
        order={name: place for place, name in enumerate(wanted)},
        intensity=intensity,
        presence=presence,
    )


def _rows(table: Reader, columns: Columns, repair: bool) -> Iterator[Row]:
    frame, success, confidence = (columns.names.index(name) for name in ("frame", "success", "confidence"))
    face_id, timestamp = (
        columns.names.index(name) if name in columns.names else None for name in ("face_id", "timestamp")
    )
    pick = itemgetter(*columns.values, success)  # at least two, so that it always returns a tuple
    for cells in table:
        if not any(cells):  # a blank line
            continue
        line = table.line_num
        cell = _Cells(columns, line, cells)
        time = cell.unchecked(timestamp)
        try:
            cell.check_count(repair)
            seen = cell.number(success, 0, 1, whole=True)
            yield Row(
                line=line,
                frame=int(cell.number(frame, 0, 1e9, whole=True)),
                face_id=0 if face_id is None else int(cell.number(face_id, 0, 1e9, whole=True)),
                confidence=cell.number(confidence, 0, 1),
                values=cell.checked(pick(cells)[:-1]) if seen else None,
                timestamp=time,
            )
        except _NoValue as error:
            number, face = cell.unchecked(frame), cell.unchecked(face_id)
            whole = int(number) if number is not None and number == int(number) else None
            yield Row(line, whole, int(face or 0), 0.0, None, time, str(error))


class _NoValue(Exception):
    """A cell is missing or holds no number, as OpenFace writes -nan(ind): its frame counts as without a face."""


@dataclass(frozen=True)
class _Cells:
    """One row's cells, as text."""

    columns: Columns
    line: int
    cells: Sequence[str]

    def check_count(self, repair: bool) -> None:
        """Raises `OpenFaceError` for a row with too many or too few cells; `_NoValue` for the latter if `repair`."""
        count, columns = len(self.cells), len(self.columns.names)
        what = f"line {self.line}: {count} values under {columns} columns"
        if count < columns and repair:
            raise _NoValue(what)
        if count != columns:
            short = "; the line is cut off" if count < columns else ""
            raise OpenFaceError(f"{self.columns.path}, {what}{short}")

    def unchecked(self, place: int | None) -> float | None:
        """The number in a cell; None if it is not there or holds none."""
        try:
            value = float(self.cells[place]) if place is not None else math.nan
        except (ValueError, IndexError):
            return None
        return value if math.isfinite(value) else None

    def number(self, place: int, low: float, high: float, whole: bool = False) -> float:
        """The value of one cell. Raises `OpenFaceError` unless it is a number between `low` and `high`, and `_NoValue`
        for what stands for no number."""
        text = self.cells[place].strip()
        try:
            value = math.nan if "_" in text else float(text)  # Python reads 1_0 as 10
        except ValueError:
            value = math.nan
        if low <= value <= high and math.isfinite(value) and not (whole and value != int(value)):
            return value
        if not math.isfinite(value):
            fault = "is not a number"
        elif whole:
            fault = "is neither 0 nor 1" if high == 1 else "is not a whole number"
        else:
            fault = f"is not between {low:g} and {high:g}"
        shown = text if len(text) <= 40 else text[:37] + "..."
        what = f"line {self.line}, column {self.columns.names[place]}: {shown!r} {fault}"
        if _NO_NUMBER.fullmatch(text):
            raise _NoValue(what)
        raise OpenFaceError(f"{self.columns.path}, {what}")

    def checked(self, texts: Sequence[str]) -> tuple[float, ...]:
        """The values of a face. Checked cell by cell, which is slow, only if one of them is wrong."""
        columns = self.columns
        units, flags = len(columns.intensity), len(columns.intensity) + len(columns.presence)
        try:
            values = tuple(map(float, texts))
            if (
                math.isfinite(sum(values))
                and "_" not in "".join(texts)
                and all(0 <= value <= 5 for value in values[:units])
                and {0.0, 1.0}.issuperset(values[units:flags])
            ):
                return values
        except ValueError:
            pass
        return (
            *(self.number(place, 0, 5) for place in columns.values[:units]),
            *(self.number(place, 0, 1, whole=True) for place in columns.values[units:flags]),
            *(self.number(place, -1e9, 1e9) for place in columns.values[flags:]),
        )
