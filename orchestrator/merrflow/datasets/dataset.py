"""`merrflow.open`: a dataset as Python objects, finished or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from merrflow.core.arguments import as_path, as_text, unusable
from merrflow.core.errors import InputError
from merrflow.core.paths import expanded
from merrflow.core.records import Outcome
from merrflow.datasets.entries import Entry, entries
from merrflow.store import Ledger, existing_ledger

if TYPE_CHECKING:
    from merrflow.datasets.curation.curate import Curated
    from merrflow.datasets.export.export import Exported


@dataclass(frozen=True)
class Missing:
    """One clip of the dataset that has no record."""

    name: str
    outcome: Outcome | None  # SKIPPED or FAILED; None while it is not finished
    reason: str


class Dataset:
    """The records of a folder that `merrflow run` or `merrflow.annotate` wrote, by clip. A context manager.

    Changes no record. A run may go on meanwhile: each call reads what is there by then. Blocking.
    """

    def __init__(self, out: str | Path) -> None:
        """out: the folder. Raises `InputError` if no run was made into it, or its ledger cannot be read."""
        self.out = expanded(as_path("out", out)).absolute()
        self._ledger: Ledger | None = existing_ledger(self.out)

    def __enter__(self) -> Self:
        self._opened()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the ledger; a second time it does nothing."""
        if self._ledger:
            self._ledger.close()
        self._ledger = None

    def __len__(self) -> int:
        """Clips that have a record."""
        return len(self._opened().described())

    def __iter__(self) -> Iterator[Entry]:
        """Every record with its outcome, by name; read in pieces, so of any number."""
        return self._each(self._opened())

    def _each(self, ledger: Ledger) -> Iterator[Entry]:
        for entry in entries(ledger):
            self._opened()  # raises if it was closed meanwhile
            yield entry

    def __contains__(self, name: object) -> bool:
        return name in self._opened().described()

    def __getitem__(self, name: str) -> Entry:
        """The record of one clip. Raises `KeyError` if it has none. Reads the whole dataset: for many, iterate."""
        for entry in entries(self._opened(), {name}):
            return entry
        raise KeyError(f"{self.out}: no clip {name!r} with a record")

    def filter(
        self,
        where: Callable[[Entry], bool] = lambda entry: True,
        *,
        label: str | None = None,
        outcome: Outcome | str | None = None,
    ) -> Iterator[Entry]:
        """The records with this label and outcome for which `where` returns true. Raises `InputError`."""
        if not callable(where):
            raise unusable("where", "a function of an entry", where)
        if label is not None:
            as_text("label", label)
        try:
            wanted = None if outcome is None else Outcome(outcome)
        except ValueError:
            raise InputError(f"there is no outcome {outcome!r}; the outcomes are: {', '.join(Outcome)}") from None
        return (
            entry
            for entry in self
            if (label is None or entry.record.label.label == label)
            and (wanted is None or entry.outcome is wanted)
            and where(entry)
        )

    def missing(self) -> list[Missing]:
        """The clips without a record and why, by name. What a record itself lacks is in its `missing`."""
        ledger = self._opened()
        described = ledger.described()
        return [Missing(row.name, row.outcome, row.reason) for row in ledger.statuses() if row.name not in described]

    def curate(self, config: str | Path | None = None, *, dry_run: bool = False) -> Curated:
        """As `merrflow curate`: chooses the clips that `export` takes. Writes curation.json, unless it is a dry run.

        config: a YAML file with filters and thresholds. Raises `InputError`.
        """
        from merrflow.datasets.curation.config import load_config
        from merrflow.datasets.curation.curate import curate

        self._opened()
        return curate(self.out, load_config(None if config is None else as_path("config", config)), dry_run=dry_run)

    def export(
        self, format: str, folder: str | Path | None = None, *, everything: bool = False, **options: object
    ) -> Exported:
        """As `merrflow export`: writes the records as `format` into a folder (None: `export/<format>` in the dataset).

        everything: also what curation does not keep. options: of the format, such as `split="test=0.1", seed=7` for a
        Hugging Face dataset. Raises `InputError`.
        """
        from merrflow.datasets.export.export import export

        name, target = as_text("format", format), None if folder is None else as_path("folder", folder)
        return export(self._opened(), self.out, name, target, everything=everything, options=options)

    def _opened(self) -> Ledger:
        if self._ledger is None:
            raise InputError(f"{self.out}: this dataset is closed")
        return self._ledger


def open(out: str | Path) -> Dataset:
    """The dataset in the folder `out`, to be used in a `with` block: its records, to read, choose and export.

    An example: `with merrflow.open("out/") as dataset: print(len(dataset), [entry.record.name for entry in dataset])`
    Raises `merrflow.InputError` if no run was made into the folder, or its ledger cannot be read.
    """
    return Dataset(out)
