"""Which clips of a dataset have moved: their bytes left the path under which they were registered, and are elsewhere.

A clip is its bytes, so its name follows them: when a folder is renamed, files are renumbered or two swap their names.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from merrflow.core.inputs import Found
from merrflow.core.paths import path_text, safe_name, text_path
from merrflow.core.places import Places
from merrflow.store.registration import Registered, hash_of, state_of

REPLACED = "replaced:"  # before the path of a clip whose place another clip has taken; no absolute path starts with it
_SHOWN = 3  # clips that the warning names


@dataclass(frozen=True)
class Change:
    """What is new of a clip's file, though not its bytes."""

    name: str
    before: str  # its path in the ledger
    path: str  # its path now
    size: int
    mtime_ns: int
    moved: bool = False  # to another place; else it was only touched, or given by another path to the same place

    @property
    def replaced(self) -> bool:
        """Whether another clip has taken its place and its own bytes are nowhere to be found."""
        return self.path.startswith(REPLACED)


@dataclass(frozen=True)
class _Arrival:
    """A file of this run that is not what the ledger has under its path."""

    clip: Found
    owner: Registered | None  # the clip that has this path in the ledger
    size: int
    mtime_ns: int


def follow(known: Mapping[str, Registered], found: Sequence[Found]) -> list[Change]:
    """The changes by which each name follows its own file. Reads only files that may be one that has left its place."""
    changes, arrivals, here = _look(known, found)
    left = [row for row in known.values() if row.sha256 and row.name not in here]
    sizes = {row.size for row in left}
    wanted = {row.sha256 for row in left}
    by_hash: dict[str, list[_Arrival]] = defaultdict(list)
    for arrival in arrivals:
        if arrival.size in sizes and (sha256 := hash_of(arrival.clip.path)) in wanted:
            by_hash[sha256].append(arrival)
    owners = {arrival.owner.name for arrival in arrivals if arrival.owner}
    rows: dict[str, list[Registered]] = defaultdict(list)
    for row in left:
        if row.sha256 in by_hash and (row.name in owners or _has_left(row)):
            rows[row.sha256].append(row)
    pairs = [pair for sha256 in by_hash for pair in _pairs(rows[sha256], by_hash[sha256])]
    followed = {row.name for row, _ in pairs}
    for row, arrival in pairs:
        path = path_text(arrival.clip.path)
        changes.append(Change(row.name, row.path, path, arrival.size, arrival.mtime_ns, moved=True))
        owner = arrival.owner
        if owner and owner.name not in followed:
            gone = replaced(owner.name, owner.path)
            changes.append(Change(owner.name, owner.path, gone, owner.size, owner.mtime_ns, moved=True))
    return changes


def replaced(name: str, path: str) -> str:
    """Instead of a path that is another clip's now. Unique, as paths in the ledger must be."""
    return path if path.startswith(REPLACED) else f"{REPLACED}{path} ({name})"


def _look(known: Mapping[str, Registered], found: Sequence[Found]) -> tuple[list[Change], list[_Arrival], set[str]]:
    """What changed of files that are in their place, which others arrived, and which clips are in their place."""
    places = Places()
    by_place: dict[str, Registered] = {}
    if any(path_text(clip.path) not in known for clip in found):
        given = {path_text(clip.path) for clip in found}
        for row in sorted(known.values(), key=lambda row: row.name, reverse=True):
            if row.path not in given and not row.path.startswith(REPLACED):
                by_place[places.of(text_path(row.path))] = row
    changes, arrivals, here = [], [], set()
    for clip in found:
        path = path_text(clip.path)
        owner = known.get(path) or (by_place.get(places.of(clip.path)) if by_place else None)
        state = state_of(clip.path)
        size, mtime_ns = stat = (state.size, state.mtime_ns) if state else (0, 0)
        if owner and not _is_other(owner, clip.path, stat):
            here.add(owner.name)
            if (owner.path, owner.size, owner.mtime_ns) != (path, size, mtime_ns):
                changes.append(Change(owner.name, owner.path, path, size, mtime_ns))
        else:
            arrivals.append(_Arrival(clip, owner, size, mtime_ns))
    return changes, arrivals, here


def _is_other(row: Registered, path: Path, stat: tuple[int, int]) -> bool:
    """Whether the file there has other bytes than the clip. One that cannot be read says nothing."""
    if stat == (row.size, row.mtime_ns) or stat == (0, 0):
        return False
    return not row.sha256 or stat[0] != row.size or hash_of(path) not in ("", row.sha256)


def _has_left(row: Registered) -> bool:
    """Whether the clip's file, which is not of this run, is gone from its path. A disk that fails says nothing."""
    if row.path.startswith(REPLACED):
        return True
    path = text_path(row.path)
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return _is_other(row, path, (stat.st_size, stat.st_mtime_ns))


def _pairs(rows: Sequence[Registered], arrivals: Sequence[_Arrival]) -> Iterator[tuple[Registered, _Arrival]]:
    """Which of several files with the same bytes is which clip. The hint that says most decides first, and what it
    leaves open the next one."""
    waiting = {arrival.clip.path: arrival for arrival in sorted(arrivals, key=lambda one: _in_order(one.clip.path))}
    there = {row.name: row for row in sorted(rows, key=lambda row: _in_order(text_path(row.path)))}
    for of_row, of_clip in _hints(rows):
        if not there or not waiting:
            return
        free: dict[Hashable, deque[Registered]] = defaultdict(deque)
        for row in there.values():
            free[of_row(row)].append(row)
        for arrival in list(waiting.values()):
            if candidates := free.get(of_clip(arrival.clip)):
                row = candidates.popleft()
                del there[row.name], waiting[arrival.clip.path]
                yield row, arrival


def _hints(
    rows: Iterable[Registered],
) -> Iterator[tuple[Callable[[Registered], Hashable], Callable[[Found], Hashable]]]:
    """Pairs of what a clip of the ledger and a file have in common if they are the same: the name that a table gives,
    the longest common end of their paths (so the file's name first of all), the name itself, the folder."""
    yield lambda row: row.name, lambda clip: safe_name(clip.name) if clip.name else None
    for parts in range(max(len(text_path(row.path).parts) for row in rows), 0, -1):
        yield partial(_end, parts), partial(_end_of_clip, parts)
    yield lambda row: row.name, lambda clip: safe_name(clip.path.stem)
    yield lambda row: text_path(row.path).parent, lambda clip: clip.path.parent
    yield lambda row: True, lambda clip: True


def _end(parts: int, row: Registered) -> Hashable:
    found = text_path(row.path).parts[-parts:]
    return found if len(found) == parts else ()


def _end_of_clip(parts: int, clip: Found) -> Hashable:
    found = clip.path.parts[-parts:]
    return found if len(found) == parts else None


def _in_order(path: Path) -> tuple[int, str]:
    """2.mp4 before 10.mp4."""
    text = path_text(path)
    return len(text), text


def described_moves(moved: Sequence[Change]) -> str:
    """One line for people: how many clips have moved, the first of them, and what that means."""
    there = sorted((one for one in moved if not one.replaced), key=lambda one: (_same_name(one), one.name))
    shown = [f"{one.name} is now {one.path!r}" for one in there[:_SHOWN]]
    gone = [change.name for change in moved if change.replaced]
    rest = len(there) - len(shown)
    line = (
        f"{len(there)} clips were moved or renamed since the last run; each keeps its name and its results "
        f"({'; '.join(shown)}{f'; and {rest} more' if rest else ''})"
    )
    if gone:
        line += f"; {len(gone)} other clips, whose files are gone, stay in the dataset ({', '.join(gone[:_SHOWN])})"
    return line


def _same_name(change: Change) -> bool:
    """Whether only its folder is another: less of a surprise."""
    return text_path(change.before).name == text_path(change.path).name
