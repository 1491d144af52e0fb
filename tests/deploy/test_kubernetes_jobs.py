"""The pod of a run as Prefect's Kubernetes worker makes it: a real server, a real worker, an API that takes notes."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

from merrflow_serving.catalog import SERVICES
from tests.deploy.kubernetes_objects import Pod, of_kind, problems, render
from tests.deploy.kubernetes_worker import Worker, clean_environment, end, start_worker
from tests.deploy.stack import wait_for
from tests.ports import free_port
from tests.prefect_home import home_with_database

pytestmark = [
    pytest.mark.slow,  # a server and a worker; test_kubernetes.py reads the manifests that they are given
    # Not by importing it, which takes each process that collects tests a second.
    pytest.mark.skipif(find_spec("prefect_kubernetes") is None, reason="prefect-kubernetes is not installed"),
]


@pytest.fixture(scope="module")
def worker(tmp_path_factory) -> Iterator[Worker]:
    folder = tmp_path_factory.mktemp("kubernetes")
    port = free_port()
    with (folder / "server.log").open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env=clean_environment(home_with_database(folder / "server")),
            stdout=out,
            stderr=out,
        )
        try:
            with start_worker(folder, render("base"), f"http://127.0.0.1:{port}/api", MERRFLOW_LEDGER_URL="") as made:
                yield made
        finally:
            end(server)


@pytest.fixture(scope="module")
def job(worker: Worker) -> dict[str, Any]:
    """The Job that a run of `annotate` became."""
    flow_run = worker.run("Fear & loathing", {"inputs": ["/clips"], "out": "/out/first"})
    made = worker.job()
    assert made["metadata"]["labels"]["prefect.io/flow-run-id"] == flow_run
    return made


def test_the_job_is_valid_confined_and_fits_the_manifests(job):
    objects = render("base")
    pod = job["spec"]["template"]
    assert job["metadata"]["namespace"] == "merrflow"
    assert pod["metadata"]["labels"]["app.kubernetes.io/component"] == "run", "by it the network lets it through"
    assert problems(Pod("Job/run", pod["metadata"]["labels"], pod["spec"])) == []
    (container,) = pod["spec"]["containers"]
    (ours,) = of_kind(objects, "Deployment")["worker"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == ours["image"]
    assert [*container["command"], *container["args"]] == ["env", "prefect", "flow-run", "execute"]
    schemas = pytest.importorskip("kubernetes_validate")
    strict = copy.deepcopy(job)
    for name in ("parallelism", "completions"):  # Prefect insists on them at this wrong place, where they are ignored
        assert strict["spec"]["template"]["spec"].pop(name) == 1
    schemas.validate(strict, "1.29", strict=True)


def test_the_run_is_told_what_it_needs(job, worker):
    (container,) = job["spec"]["template"]["spec"]["containers"]
    told = {item["name"]: item for item in container["env"]}
    assert told["PREFECT_API_URL"]["value"] == worker.url, "as the worker's own"
    assert told["PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR"]["value"] == "reschedule"
    assert told["PGPASSWORD"]["valueFrom"] == {"secretKeyRef": {"name": "database", "key": "password"}}
    assert len(told) == len(container["env"]), "nothing twice"
    assert container["envFrom"] == [{"configMapRef": {"name": "run-settings"}}]
    assert not any(SERVICES[name].env_prefix in item for name in SERVICES for item in told), "by the ConfigMap alone"
    assert {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]} == {
        "/clips": True,
        "/out": False,
        "/work": False,
        "/tls": True,
        "/tmp": False,
    }
    # Prefect copies the folder in which it is started to /tmp, as if it were the code of the flow: an empty one.
    assert container["workingDir"] == "/work"


def test_the_worker_asks_for_nothing_that_it_has_no_right_to(job, worker):
    rules = of_kind(render("base"), "Role")["worker"]["rules"]
    allowed = {
        (verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    wait_for(
        lambda: {("watch", "pods"), ("watch", "jobs")} <= {(one.verb, one.resource) for one in worker.cluster.requests},
        30,
        f"the observer watches nothing; see {worker.log}; it asked {worker.cluster}",
    )
    asked = {(one.verb, one.group, one.resource) for one in worker.cluster.requests}
    assert ("create", "batch", "jobs") in asked
    assert asked <= allowed
    assert {one.namespace for one in worker.cluster.requests} == {"merrflow"}, "in its own namespace only"
    assert worker.cluster.unknown == []
