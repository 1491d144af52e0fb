"""All of docker-compose.yml for real: healthy, confined, and a run in it gives what a local run gives."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import pytest

from merrflow_serving import health
from merrflow_serving.catalog import NEEDED
from tests.deploy.stack import inspect, reason_to_skip
from tests.records import timeless

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-")
TRANSCRIPTS = ("--transcripts", "/clips/transcripts.csv")


def placeless(folder: Path) -> dict[str, dict[str, Any]]:
    """The records of a run without times, and without the clips' folder."""
    return {name: record | {"path": ""} for name, record in timeless(folder).items()}


def test_all_become_healthy(stack):
    stack.wait_healthy(*NEEDED, "postgres", "prefect", "worker")
    for name in NEEDED:
        ports = stack.published(name)
        assert len(set(ports)) == 2 if name == "llama3" else ports == [stack.ports[name]]
        assert all(health.check(f"127.0.0.1:{port}") == (True, "SERVING") for port in ports)
    with urllib.request.urlopen(f"http://127.0.0.1:{stack.ports['prefect']}/", timeout=10) as page:
        assert b"<title>Prefect" in page.read()


@pytest.mark.parametrize("name", [*NEEDED, "worker"])
def test_image_is_without_root_and_says_what_it_is(stack, name):
    for container in map(inspect, stack.containers(name)):
        image = inspect(container["Image"])
        assert image["Config"]["User"] == "merrflow"
        labels = image["Config"]["Labels"]
        assert labels["org.opencontainers.image.title"] == ("merrflow" if name == "worker" else f"merrflow {name}")
        assert len(labels["org.opencontainers.image.revision"]) == 40
        assert container["HostConfig"]["ReadonlyRootfs"] and container["HostConfig"]["Memory"]


def test_services_are_reached_from_the_worker(stack):
    stack.wait_healthy(*NEEDED)
    table = stack.merrflow("services")
    replicas = sum(len(stack.containers(name)) for name in NEEDED)
    assert table.count("SERVING") == replicas and "NOT_SERVING" not in table


def test_a_run_gives_what_a_local_run_gives(stack, local_run):
    stack.wait_healthy("worker")
    stack.merrflow("run", "/clips", "--out", "/out/exec", *TRANSCRIPTS, "--neutral-sample", "1")
    contained = placeless(stack.out / "exec")
    assert len(contained) == len(list(stack.clips.glob("*.mp4")))
    assert contained == placeless(local_run)
    for file in ("merr/MERR_coarse_grained.json", "merr/MERR_fine_grained.json"):
        assert (stack.out / "exec" / file).read_text() == (local_run / file).read_text()
    assert not (stack.out / "exec/ledger.db").exists(), "its ledger is in PostgreSQL"
