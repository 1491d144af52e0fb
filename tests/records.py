"""A run's records without what may differ between two runs of the same clips: times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def without_times(record: dict[str, Any]) -> dict[str, Any]:
    """A line of records.jsonl or dropped.jsonl, as it is in every run."""
    record.pop("seconds", None)
    for origin in record.get("origins", {}).values():
        del origin["queue_seconds"], origin["model_seconds"]
    return record


def timeless(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of an output folder by their clips' names."""
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert all("seconds" in record for record in records)
    return {record["name"]: without_times(record) for record in records}
