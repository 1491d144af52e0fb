"""Runs in Prefect: the flow, its deployment, workers, and the detection of zombie runs.

`merrflow.flow.annotate_flow` is the entry point that deployments name.
"""

import os
from typing import Any

from merrflow.flow.dotenv_once import read_dotenv_once

# Both before Prefect is imported, which reads its settings then:
os.environ.setdefault("DO_NOT_TRACK", "1")  # otherwise it calls an analytics host
read_dotenv_once()


def __getattr__(name: str) -> Any:
    # Importing Prefect takes a second, and `merrflow --help` does not need it.
    if name in ("annotate_flow", "annotate_shard_flow"):
        from merrflow.flow import annotate

        return getattr(annotate, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
