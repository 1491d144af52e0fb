"""Whether a dataset is still this run's own: while the network is away, another run may take it over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


def _nothing() -> None:
    """Checks nothing."""


def _always() -> bool:
    return True


class Ownership:
    """What the ledger and the lock of its dataset know of each other. Safe to use from several threads.

    A connection that breaks casts doubt: the lock may have gone with it. Whoever holds the lock finds out.
    """

    def __init__(self) -> None:
        self._lost = ""
        self._in_doubt = False
        self._check_lock: Callable[[], None] = _nothing
        self._was_last: Callable[[], bool] = _always

    @property
    def lost(self) -> str:
        """Why the dataset is not this run's own any more; empty while it is."""
        return self._lost

    def doubt(self) -> None:
        """A connection broke, so that the lock may be gone. The next `verify` finds out."""
        self._in_doubt = True

    def verify(self) -> None:
        """Checks the lock if that is in doubt, and sets `lost`. Raises `SQLAlchemyError` while the server is away."""
        if self._in_doubt:
            self._check_lock()

    @contextmanager
    def checked_by(self, check_lock: Callable[[], None]) -> Iterator[None]:
        """While the block lasts, `check_lock` looks after the lock, takes it back if it can, and calls `settle`."""
        self._check_lock = check_lock
        try:
            yield
        finally:
            self._check_lock = _nothing

    def sign(self, was_last: Callable[[], bool]) -> None:
        """The run has written its name into the database; `was_last` says whether no other has done so since."""
        self._was_last = was_last

    def settle(self, *, taken_over: bool) -> None:
        """Ends the doubt. taken_over: whether another process has the lock now. Raises `SQLAlchemyError`."""
        if self._in_doubt and (taken_over or not self._was_last()):
            self._lost = "another run has taken it over while the network was away"
        self._in_doubt = False
