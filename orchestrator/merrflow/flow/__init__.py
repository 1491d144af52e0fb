"""Runs as Prefect sees them: the flow, its deployment, workers, and what revives runs that died.

`merrflow.flow.annotate_flow` is the entry point that deployments name.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    # Prefect takes a second to import, which `merrflow --help` has no use for.
    if name in ("annotate_flow", "annotate_shard_flow"):
        from merrflow.flow import annotate

        return getattr(annotate, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
