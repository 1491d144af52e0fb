"""The pods of the overlay `small`, run by Docker as they are, annotate clips: only the cluster itself is stood in for.

The services, the Prefect server and the database are containers with the manifests' commands, environments, users and
confinement. Prefect's Kubernetes worker makes the Job of a run, and that Job's pod is run in the same way.
"""

from __future__ import annotations

import json
import secrets
import subprocess

import pytest

from merrflow_serving.catalog import NEEDED
from tests.deploy.containers.kubernetes_docker import Node
from tests.deploy.kubernetes_objects import ROOT, Pod, pods, render, worker_environment
from tests.deploy.kubernetes_worker import get, start_worker
from tests.deploy.stack import STAND_IN, defaults, docker, log_of, reason_to_skip, wait_for

READY_SECONDS, RUN_SECONDS = 300, 600
CONTAINERS = ("postgres", "prefect", *NEEDED)


def test_a_run_through_the_worker_writes_a_dataset(tmp_path):
    if reason := reason_to_skip():
        pytest.skip(reason)
    pytest.importorskip("prefect_kubernetes", reason="prefect-kubernetes is not installed")
    objects = render("overlays/small")
    official = defaults()["POSTGRES_IMAGE"]
    there = docker("image", "ls", "--quiet", official)
    results = tmp_path / "results"
    results.mkdir()
    results.chmod(0o777)
    node = Node(
        f"merrflow-{secrets.token_hex(4)}",
        objects,
        {"clips": ROOT / "examples/clips", "results": results},
        {} if there else {official: STAND_IN},
    )
    with node:
        by_name = {pod.owner.partition("/")[2]: pod for pod in pods(objects)}
        for name in CONTAINERS:
            node.start(by_name[name])
            if name == "postgres":  # a pod that starts too early is started again; here it is started once
                wait_for(lambda: node.passes(by_name["postgres"], "readinessProbe"), READY_SECONDS, "no database")
        for name in CONTAINERS:
            container = f"{node.network}-{name}"
            for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                wait_for(
                    lambda pod=by_name[name], probe=probe: node.passes(pod, probe), READY_SECONDS, f"{name}: {probe}"
                )
            assert docker("inspect", "--format", "{{.State.Running}}", container) == "true"
        url = f"http://{node.address(f'{node.network}-prefect')}:4200/api"
        ledger = f"postgresql+psycopg://merrflow@{node.address(f'{node.network}-postgres')}:5432/merrflow"
        with start_worker(tmp_path, objects, url, MERRFLOW_LEDGER_URL=ledger, PGPASSWORD="not-a-secret") as worker:
            flow_run = worker.run("clips", {"inputs": ["/clips"], "out": "/out/first"})
            template = worker.job()["spec"]["template"]
            for item in template["spec"]["containers"][0]["env"]:
                if item["name"] == "PREFECT_HOME":  # the worker's own, which here is a folder of this machine
                    item["value"] = worker_environment(objects)["PREFECT_HOME"]
            run = node.start(Pod("Job/run", template["metadata"]["labels"], template["spec"]))
            code = exit_code(run)
            assert code == 0, log_of(run)[-4000:]
            state = get(f"{url}/flow_runs/{flow_run}")["state"]
            assert state["type"] == "COMPLETED", (state["message"], log_of(run)[-4000:])
    assert json.loads((results / "first/ledger.json").read_text())["schema"].startswith("first_")
    assert not (results / "first/ledger.db").exists(), "the ledger is in the database"
    clips = {path.stem for path in (ROOT / "examples/clips").glob("*.mp4")}
    assert clips and any(results.glob("first/**/*.json"))


def exit_code(container: str) -> int:
    """The exit code of a container, once it has ended."""
    ended = subprocess.run(["docker", "wait", container], capture_output=True, text=True, timeout=RUN_SECONDS)
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout)
