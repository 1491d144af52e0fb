"""The worker of the manifests as a process of this machine, beside an API that keeps notes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.deploy.kubernetes_api import FakeCluster
from tests.deploy.kubernetes_objects import Object, job_template, of_kind, worker_environment
from tests.deploy.stack import wait_for
from tests.ports import free_port

START_SECONDS = 180


@dataclass(frozen=True)
class Worker:
    """A worker that has been started."""

    url: str  # of the server's API
    cluster: FakeCluster
    log: Path
    process: subprocess.Popen

    def run(self, name: str, parameters: dict[str, Any]) -> str:
        """Starts a run of `annotate`; its id."""

        def deployment() -> Any:
            assert self.process.poll() is None, f"the worker ended; see {self.log}"
            with suppress(OSError):
                return get(f"{self.url}/deployments/name/annotate/annotate")

        found = wait_for(deployment, START_SECONDS, f"the worker registers nothing; see {self.log}")
        made = post(f"{self.url}/deployments/{found['id']}/create_flow_run", {"name": name, "parameters": parameters})
        return made["id"]

    def job(self) -> Object:
        """The Job of the only run."""
        wait_for(lambda: self.cluster.jobs, START_SECONDS, f"no Job; see {self.log}")
        (made,) = self.cluster.jobs.values()
        return made


def clean_environment(folder: Path) -> dict[str, str]:
    """This process's environment without what Prefect or merrflow would read."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MERRFLOW_"))}
    return kept | {"PREFECT_HOME": str(folder), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}


@contextmanager
def start_worker(folder: Path, objects: tuple[Object, ...], url: str, **told: str) -> Iterator[Worker]:
    """The worker's container command, with the same environment but for `told` and where things are here."""
    (container,) = of_kind(objects, "Deployment")["worker"]["spec"]["template"]["spec"]["containers"]
    template = folder / "job-template.json"
    template.write_text(json.dumps(job_template(objects)))
    log = folder / "worker.log"
    with FakeCluster() as cluster, log.open("w") as out:
        environment = {
            **clean_environment(folder / "prefect"),
            **worker_environment(objects),
            "PREFECT_API_URL": url,
            "PREFECT_HOME": str(folder / "prefect"),
            "KUBECONFIG": str(cluster.kubeconfig(folder / "kubeconfig")),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_WORKER_WEBSERVER_PORT": str(free_port()),
            **told,
        }
        arguments = [item.replace("/etc/merrflow/job-template.json", str(template)) for item in container["args"]]
        process = subprocess.Popen(
            [sys.executable, "-c", "import merrflow.cli; merrflow.cli.main()", *arguments],
            env=environment,
            cwd=folder,
            stdout=out,
            stderr=out,
        )
        try:
            yield Worker(url, cluster, log, process)
        finally:
            end(process)


def end(process: subprocess.Popen) -> None:
    """Ends a process that was started here."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def post(url: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            # A server on SQLite answers so while its database is locked; Prefect's own client asks again, too.
            if error.code != 503 or time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)
