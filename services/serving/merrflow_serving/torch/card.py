"""Engines of several processes on one card: each takes its part, one after the other. Imports no torch.

Each process says what it needs before it loads (a claim), in a folder that all of them have, and waits for its turn.
Whose turn it is measures what is free, leaves what the others were promised or still need at least, and shares what is
left beyond that in proportion to what each could use. So three services that start at once do not count the same free
memory three times. A claim is a file that is locked while its process lives, and counts for nothing afterwards.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import structlog
from filelock import FileLock, Timeout

from merrflow_serving.errors import NotReady
from merrflow_serving.machine import Memory
from merrflow_serving.torch.estimate import CONTEXT_BYTES, GIB
from merrflow_serving.torch.need import Need
from merrflow_serving.weights import progress

log = structlog.get_logger()
FOLDER = ".cards"  # below models_dir, which the services of a machine share
_CLAIMS, _TURN = "*.claim", "turn.lock"


@dataclass(frozen=True)
class Claim:
    """What one process needs of a card, in bytes."""

    service: str
    least: int
    full: int
    owed: int  # what it may still take: its least while it waits; later its part, less what it holds
    waits: bool = True


def part_of(mine: Claim, others: Sequence[Claim], room: int) -> int:
    """Bytes that `mine` may hold. room: what is free, with what it holds itself.

    All that the others could not use, if every wish fits. Raises `NotReady` that says who has or needs what if there
    is less than its least.
    """
    room -= sum(one.owed for one in others if not one.waits)
    if room < mine.least:
        raise NotReady(_refusal(mine, others, room), reason="CARD_FULL")
    waiting = [one for one in others if one.waits]
    wish, wishes = mine.full - mine.least, sum(one.full - one.least for one in waiting)
    spare = room - mine.least - sum(one.least for one in waiting)
    if spare <= 0:  # not all of them fit: the more is left, the more of them do
        return mine.least
    if spare >= wish + wishes:
        return mine.least + spare - wishes
    return mine.least + spare * wish // (wish + wishes)


def _refusal(mine: Claim, others: Sequence[Claim], room: int) -> str:
    known = "; ".join(
        f"{one.service} needs {_gib(one.least)} at least" if one.waits else f"{one.service} has up to {_gib(one.full)}"
        for one in others
    )
    return (
        f"{_gib(max(0, room))} of the card's memory are left for {mine.service}, which needs {_gib(mine.least)} at "
        f"least{f' ({known})' if known else ''}: give it another card, run the models one after the other (merrflow "
        "run --gpu-sharing sequential, docs/gpu-sharing.md), or end what else is on the card (nvidia-smi)"
    )


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


class Part:
    """What the process whose turn it is may hold of the card; worked out anew at each call, as others still come."""

    def __init__(self, allowed: Callable[[], int], look: Callable[[], Memory], wanted: int = 0) -> None:
        """wanted: bytes that the service could use."""
        self._allowed = allowed
        self._look = look
        self._wanted = wanted

    @classmethod
    def unlimited(cls, look: Callable[[], Memory]) -> Part:
        """All that is free, of a device that nothing else is known to use."""
        return cls(lambda: (seen := look()).free_bytes + seen.used_bytes + CONTEXT_BYTES, look)

    def bytes(self) -> int:
        """All that it may hold, weights and context included."""
        return self._allowed()

    def is_small(self) -> bool:
        """Whether it is less than the service could use."""
        return self.bytes() < self._wanted

    def left(self) -> int:
        """What it may still allocate."""
        memory = self._look()
        return max(0, min(memory.free_bytes, self.bytes() - memory.used_bytes - CONTEXT_BYTES))


class CardShare:
    """A service's share of a card. Not for several threads."""

    def __init__(self, folder: Path, service: str, look: Callable[[], Memory]) -> None:
        """folder: the card's own, which everybody who uses the card has. look: measures the card, for this process."""
        self._folder = folder
        self._look = look
        self._claim = Claim(service, 0, 0, 0)
        self._file: int | None = None  # of the claim, which is locked as long as it is open
        self._path: Path | None = None

    def claim(self, need: Need) -> None:
        """Announces what it will need, or corrects it. Without a folder that can be written there is no sharing."""
        self._claim = Claim(self._claim.service, need.least, need.full, need.least)
        try:
            self._write()
        except OSError as error:
            log.warning("the card cannot be shared with other services: no claim can be written", why=str(error))

    @contextmanager
    def turn(self) -> Iterator[Part]:
        """While the context lasts, no other service loads on this card. Afterwards it holds what it took.

        Raises `NotReady` if there is not enough for it.
        """
        if self._file is None:  # it is alone, as far as it knows
            yield Part.unlimited(self._look)
            return
        lock = FileLock(self._folder / _TURN, mode=0o666)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            with progress.step("waiting for another service that loads on the same card"):
                lock.acquire()
        try:
            part = Part(self._allowed, self._look, self._claim.full)
            part.bytes()  # is it refused? Before gigabytes are read
            yield part
            allowed = min(part.bytes(), self._claim.full)
            held = self._look().used_bytes + CONTEXT_BYTES
            self._claim = replace(self._claim, full=allowed, owed=max(0, allowed - held), waits=False)
            self._write()
        finally:
            lock.release()

    def close(self) -> None:
        """Gives its share up."""
        if self._file is not None:
            with suppress(OSError):
                os.unlink(self._path or "")
            os.close(self._file)
            self._file = self._path = None

    def _allowed(self) -> int:
        return part_of(self._claim, self._others(), self._room())

    def _room(self) -> int:
        memory = self._look()
        return memory.free_bytes + memory.used_bytes + CONTEXT_BYTES  # its own context is taken out of what is free

    def _write(self) -> None:
        if self._file is None:
            os.makedirs(self._folder, mode=0o777, exist_ok=True)
            file, new = tempfile.mkstemp(dir=self._folder, prefix=".new.")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path = self._folder / f"{os.path.basename(new)[5:]}.claim"
                self._put(file)
                os.fchmod(file, 0o644)
                os.rename(new, path)  # from here on others see it, and see it locked
            except BaseException:
                os.close(file)
                os.unlink(new)
                raise
            self._file, self._path = file, path
        else:
            self._put(self._file)

    def _put(self, file: int) -> None:
        os.pwrite(file, json.dumps(asdict(self._claim)).ljust(400).encode(), 0)  # in one piece, over the earlier one

    def _others(self) -> list[Claim]:
        """The claims of living processes. What a dead one left is removed."""
        found = []
        for path in sorted(self._folder.glob(_CLAIMS)):
            if path == self._path:
                continue
            with suppress(OSError, ValueError, TypeError):
                with path.open("rb") as file:
                    try:
                        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    except BlockingIOError:
                        found.append(Claim(**json.loads(file.read())))
                        continue
                path.unlink()
        return found
