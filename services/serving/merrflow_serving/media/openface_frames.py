"""Which frame of a clip each row of an OpenFace CSV belongs to, also if a few rows are missing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from merrflow_serving.media.openface_rows import Columns, OpenFaceError, Row

FRAMES_APART = 1  # by as many frames the counts of OpenFace's decoder and ours may differ
FEW = 0.1  # share of a clip's frames that may be without a row
SHOWN = 3  # damaged rows in a remark


def place_rows(
    rows: Sequence[Row], columns: Columns, frame_count: int, times: Sequence[float], repair: bool
) -> tuple[list[int | None], tuple[str, ...]]:
    """For each row the index of its frame, None for a row that says none; and what is to be told of the file.

    times: of the clip's frames, in seconds from the first. repair: whether a few rows may be missing. With several
    faces, frames without any have no rows, so that missing rows cannot be detected. Raises `OpenFaceError`.
    """
    numbered = [row for row in rows if row.frame is not None]
    if not numbered:
        raise OpenFaceError(f"{columns.path}: no row has a frame number")
    several = any(row.face_id != numbered[0].face_id for row in numbered)
    _check_twice(numbered, columns, several)
    by_frame = {row.frame or 0: row for row in numbered}
    numbers = sorted(by_frame)
    first = min(numbers[0], 1)
    by_number = [None if row.frame is None else row.frame - first for row in rows]
    count = numbers[-1] + 1 - first
    told = _damaged(rows, columns, frame_count)
    if several:
        if count - frame_count > FRAMES_APART:
            raise _another(columns, count, frame_count)
        return by_number, told
    gap = next(((before, after) for before, after in pairwise([first - 1, *numbers]) if after != before + 1), None)
    fewest = frame_count if repair else frame_count - FRAMES_APART
    if gap is None and fewest <= count <= frame_count + FRAMES_APART:
        return by_number, told
    missing = frame_count - sum(number - first < frame_count for number in numbers)
    if count - frame_count > FRAMES_APART or (gap is None and not repair):
        raise _another(columns, count, frame_count)
    if not repair or missing > max(FRAMES_APART, round(FEW * frame_count)):
        if gap is None:
            raise _another(columns, count, frame_count)
        before, after = gap
        fault = f"{after} comes after {before}; the rows between are missing"
        if before < first:
            fault = f"begins with {after}; the rows before are missing"
        raise OpenFaceError(f"{columns.path}, line {by_frame[after].line}, column frame: {fault}")
    placed, how = by_number, "by number"
    if times and _has_own_times(numbered, first):
        placed, how = _by_time(rows, columns, times), "by timestamp"
    elif gap is None and any(row.timestamp is None for row in numbered):
        raise _another(columns, count, frame_count)
    remark = f"frames without a row, which count as without a face: {missing} of {frame_count} (rows are matched {how})"
    return placed, (remark, *told)


def _check_twice(rows: Sequence[Row], columns: Columns, several: bool) -> None:
    lines: dict[tuple[int | None, int], int] = {}
    for row in rows:
        earlier = lines.setdefault((row.frame, row.face_id), row.line)
        if earlier != row.line:
            face = f" and face {row.face_id}" if several else ""
            fault = f"{row.frame}{face} is already in line {earlier}"
            raise OpenFaceError(f"{columns.path}, line {row.line}, column frame: {fault}")


def _another(columns: Columns, count: int, frame_count: int) -> OpenFaceError:
    return OpenFaceError(
        f"{columns.path}: rows for {count} frames, but the clip has {frame_count}: "
        "it is another clip's file, or was cut off"
    )


def _damaged(rows: Sequence[Row], columns: Columns, frame_count: int) -> tuple[str, ...]:
    """A remark on the rows without values. Raises `OpenFaceError` if they are more than half of the clip."""
    faults = [row.fault for row in rows if row.fault]
    if not faults:
        return ()
    shown = ", ".join(faults[:SHOWN]) + (", ..." if len(faults) > SHOWN else "")
    if len(faults) > frame_count / 2:
        raise OpenFaceError(f"{columns.path}: {len(faults)} of {len(rows)} rows are damaged: {shown}")
    return (f"damaged rows, which count as frames without a face: {len(faults)} of {len(rows)} ({shown})",)


def _has_own_times(rows: Sequence[Row], first: int) -> bool:
    """Whether the timestamps say more than the frame numbers, of which OpenFace computes them."""
    times = {row.frame - first: row.timestamp for row in rows if row.frame is not None and row.timestamp is not None}
    if len(times) < len(rows):
        return False
    last = max(times)
    step = times[last] / last if last else 0.0
    return any(abs(time - number * step) > 0.5 * step for number, time in times.items())


def _by_time(rows: Sequence[Row], columns: Columns, times: Sequence[float]) -> list[int | None]:
    """The frames nearest to the rows' timestamps. Raises `OpenFaceError` if these are not the clip's."""
    near = 0.6 * times[-1] / max(1, len(times) - 1)  # seconds
    taken: dict[int, int] = {}
    placed: list[int | None] = []
    for row in rows:
        if row.timestamp is None:
            placed.append(None)
            continue
        after = min(bisect_left(times, row.timestamp), len(times) - 1)
        index = min((max(after - 1, 0), after), key=lambda place: abs(times[place] - (row.timestamp or 0.0)))
        where = f"{columns.path}, line {row.line}, column timestamp: {row.timestamp:g}"
        if abs(times[index] - row.timestamp) > near:
            raise OpenFaceError(f"{where}: the clip has no frame at that time, so it is another clip's file")
        if index in taken:
            raise OpenFaceError(f"{where}: the same frame as line {taken[index]}")
        taken[index] = row.line
        placed.append(index)
    return placed
