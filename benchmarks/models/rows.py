"""A row of figures, and the table of rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.support.card import Card

_GIB, _MIB = 1 << 30, 1 << 20


@dataclass(frozen=True)
class Row:
    """One part of a model at one batch size. None: not measured, `note` says why."""

    model: str
    part: str
    batch: int
    unit: str  # what `rate`, `one_by_one` and `limit` count, a second
    rate: float | None = None
    one_by_one: float | None = None
    limit: float | None = None  # what the device could do at most
    limited_by: str = ""  # memory or compute
    at_once: int = 0  # items computed together; less than `batch` if the memory was too small
    rounds: int = 0
    items: int = 0  # units in one round
    weight_bytes: int = 0
    cache_bytes: int = 0  # key-value cache of the batch at its longest
    peak_bytes: int = 0  # most memory held; 0 on a CPU
    identical: int | None = None  # answers with the same tokens as one by one
    compared: int | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Times one by one."""
        return self.rate / self.one_by_one if self.rate and self.one_by_one else None

    @property
    def share(self) -> float | None:
        """Of the limit."""
        return self.rate / self.limit if self.rate and self.limit else None

    def content(self) -> dict[str, Any]:
        """For JSON, with the derived figures."""
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in {**asdict(self), "ratio": self.ratio, "share": self.share}.items()
        }


def show(card: Card, rows: Iterable[Row], console: Console) -> None:
    """Prints a line about the device, and the table."""
    peaks = ", ".join(f"{peak / 1e12:,.3g} TFLOP/s in {name}" for name, peak in sorted(card.peaks.items()))
    console.print(f"{card.name}: {card.bandwidth / 1e9:,.1f} GB/s by copying, {peaks} by a matrix product")
    table = Table(box=box.SIMPLE_HEAD)
    left = {"model", "part", "unit", "by", "note"}
    heads = ["model", "part", "batch", "rate", "unit", "one by one", "times", "limit", "by", "of limit"]
    for name in [*heads, "weights", "cache", "peak", "same", "note"]:
        table.add_column(name, justify="left" if name in left else "right", no_wrap=name != "note")
    for row in rows:
        unit = f"{row.unit}/s" if row.unit else ""
        table.add_row(
            row.model, row.part, str(row.batch), _number(row.rate), unit, _number(row.one_by_one),
            "" if row.ratio is None else f"{row.ratio:.2f}", _number(row.limit), row.limited_by,
            "" if row.share is None else f"{row.share:.1%}", _size(row.weight_bytes), _size(row.cache_bytes),
            _size(row.peak_bytes), "" if row.compared is None else f"{row.identical} of {row.compared}", row.note,
        )  # fmt: skip
    console.print(table)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}"


def _size(size: int) -> str:
    if not size:
        return ""
    return f"{size / _GIB:.2f} GiB" if size >= _GIB // 10 else f"{size / _MIB:.2f} MiB"
