"""Prefect's worker as a child that ends with its parent, however that ended: `python -m merrflow.flow.worker_process`,
with the options of `prefect worker start`, and a pipe as standard input."""

from __future__ import annotations

import os
import runpy
import sys

from merrflow.flow.names import WORKER_PID
from merrflow_serving.parent import end_with_parent

STOP_SECONDS = 60.0  # for this worker's flow runs to write out their results


def main() -> None:
    """The child."""
    end_with_parent(STOP_SECONDS)
    os.environ[WORKER_PID] = str(os.getpid())  # which its flow runs inherit
    sys.argv[:1] = ["prefect", "worker", "start"]
    runpy.run_module("prefect", run_name="__main__")


if __name__ == "__main__":
    main()
