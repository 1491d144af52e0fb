"""Names of the work pool, its queues and deployments, and of tags and locks."""

POOL = "merrflow"
RUNS = "runs"  # work queue of whole runs; few at a time, so that they leave the workers to their shards
SHARDS = "shards"  # work queue of their shards
ANNOTATE = "annotate/annotate"  # flow/deployment
ANNOTATE_SHARD = "annotate-shard/annotate-shard"
TAG = "merrflow"  # of every deployment and run
REPORTS = "/reports"  # followed by the id of a flow run: its report, as workers serve it
MAX_STARTS = 5  # of one flow run, including the first
# The variable by which a flow run knows its worker. Its parent process is another one once that worker was killed.
WORKER_PID = "_MERRFLOW_WORKER_PID"


def out_tag(out: str) -> str:
    """The tag of every flow run that works on this folder."""
    return f"out:{out}"


def run_lock(flow_run_id: object) -> str:
    """The name of the lock that a flow run's process holds for as long as it lives."""
    return f"flow-run-{flow_run_id}"
