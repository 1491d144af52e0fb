"""What the work pool's parts are called, on the server and by whoever starts a run."""

POOL = "merrflow"
RUNS = "runs"  # work queue of whole runs; few at a time, so that they leave the workers to their shards
SHARDS = "shards"  # work queue of their shards
ANNOTATE = "annotate/annotate"  # flow/deployment
ANNOTATE_SHARD = "annotate-shard/annotate-shard"
MAX_STARTS = 5  # of one flow run, first start and revivals together


def out_tag(out: str) -> str:
    """On every flow run that works for this folder."""
    return f"out:{out}"


def run_lock(flow_run_id: object) -> str:
    """The name of the lock that a flow run's process holds as long as it lives."""
    return f"flow-run-{flow_run_id}"
