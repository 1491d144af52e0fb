"""What an export format is. docs/exports.md has a recipe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from merrflow.core.measurements import ActionUnitSeries
from merrflow.core.records import Record
from merrflow.datasets.export.vocabulary import Vocabulary
from merrflow.datasets.export.writer import Writer
from merrflow.datasets.pictures import Pictures

if TYPE_CHECKING:  # every run imports this, and few read an audit
    from merrflow.datasets.review.audit import AuditReport


class FormatOptions(BaseModel):
    """Base of a format's options, each with a default and a description. A format without options uses this itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Options = TypeVar("Options", bound=FormatOptions)


@dataclass(frozen=True)
class Target:
    """Where an export goes, and what belongs to its records."""

    folder: Path  # empty; it becomes the export when the writer is done
    peaks: Path  # the run's folder of peak frames, NAME.jpg; `picture` also checks them
    vocabulary: Callable[[], Vocabulary]  # labels, units and measurements of the records; reads the ledger once
    # name and faces (None: not kept) of every clip, in the order of the records; reads the ledger bit by bit
    faces: Callable[[], Iterator[tuple[str, ActionUnitSeries | None]]] = lambda: iter(())
    audit: AuditReport | None = None  # what people found of a sample (merrflow audit); None without one

    def picture(self, record: Record) -> Path | None:
        """The picture of the record's peak frame, made again if it is damaged; None if there is none."""
        return Pictures(self.peaks).of(record)


@dataclass(frozen=True)
class Format(ABC, Generic[Options]):
    """A dataset format: makes the writer of one export."""

    name: ClassVar[str]  # as in --format and as its entry point
    about: ClassVar[str]  # what it writes, in one line
    options_type: ClassVar[type[FormatOptions]] = FormatOptions
    has_card: ClassVar[bool] = False  # whether it is a dataset with a card, which a hub can take

    options: Options

    @abstractmethod
    def writer(self, target: Target) -> Writer:
        """A writer that leaves its files in `target.folder`."""
