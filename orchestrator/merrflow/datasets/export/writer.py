"""What a format is: something that takes records one at a time, in order of name, and writes its files at the end."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from merrflow.datasets.entries import Entry

NO_FINE = "no fine-grained description"  # reasons for leaving a record out that several formats share
OTHER_LABEL = "a label that MERR does not have"
NO_PICTURE = "no picture of the peak frame"
NO_CLIP = "a clip that is not where it was"


class Writer(ABC):
    """Used as a context manager: files that it opens on `self.files` take their place when the block ends well, and
    are gone when it ends with an error.

    Many writers can be fed in one pass over a ledger, which is read and parsed once.
    """

    def __init__(self) -> None:
        self.files = ExitStack()

    @abstractmethod
    def add(self, entry: Entry) -> str:
        """Takes a record. Returns "" or, in a few words, why the format leaves it out."""

    def finish(self) -> tuple[str, ...]:
        """Writes what needs all records to be known, once, after the last one. Returns remarks for the user."""
        return ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self.files.__exit__(kind, error, trace)
