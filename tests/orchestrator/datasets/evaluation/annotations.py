"""Annotations for the tests, in MERR's form."""

from __future__ import annotations

from merrflow.formats.merr import MerrAnnotation


def one(name: str = "clip", label: str = "happy", **changes: object) -> MerrAnnotation:
    """A smile at frame 20, as `tests.orchestrator.datasets.report.runs.record` has it."""
    values: dict[str, object] = {
        "peak_index": 20,
        "peak_units": ("AU06", "AU12"),
        "units": ("AU12",),
        "phrases": ("Big smile",),
        "fine": "The smile tells of joy.",
    }
    return MerrAnnotation(name, label, **(values | changes))  # type: ignore[arg-type]
