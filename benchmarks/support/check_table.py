"""The figures of gpu_check.sh as Markdown, for docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any


def markdown(content: Mapping[str, Any]) -> str:
    """The card, the steps, the speeds, and the numbers against float32."""
    figures = {one["step"]: one["figures"] for one in content["steps"] if one["figures"]}
    speeds = [
        row for name, found in figures.items() if name != "small" for row in found.get("rows", []) if "part" in row
    ]
    speeds = speeds or figures.get("small", {}).get("rows", [])
    numbers = figures.get("numbers", {}).get("rows", [])
    title = f"{content['card']}, {content['date'][:10]}" + (" (rehearsal on a CPU)" if content["rehearsal"] else "")
    parts = [[f"### {title}"], list(_steps(content["steps"])), list(_speeds(speeds)), list(_numbers(numbers))]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _steps(steps: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield from _table(
        ("step", "state", "seconds", ""), ((one["step"], one["state"], one["seconds"], one["words"]) for one in steps)
    )


def _speeds(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    heads = ("model", "part", "batch", "a second", "one by one", "times", "the card's limit", "of it", "peak GiB", "")
    if rows:
        yield from _table(heads, (_speed(row) for row in rows))


def _speed(row: Mapping[str, Any]) -> tuple[Any, ...]:
    rate = "" if row["rate"] is None else f"{row['rate']:,.1f} {row['unit']}"
    share = "" if row["share"] is None else f"{row['share']:.0%}"
    peak = f"{row['peak_bytes'] / (1 << 30):.1f}" if row["peak_bytes"] else ""
    shown = tuple("" if row[name] is None else f"{row[name]:,.1f}" for name in ("one_by_one", "ratio", "limit"))
    return (row["model"], row["part"], row["batch"], rate, *shown, share, peak, row["note"])


def _numbers(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    names = ("model", "format", "relative_rms", "same_token", "note")
    if rows:
        heads = ("model", "format", "rms error of the logits, relative", "same likeliest token", "")
        yield from _table(heads, (tuple(row.get(name, "") for name in names) for row in rows))


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(' '.join(str(cell).replace('|', '/').split()) for cell in row)} |"
