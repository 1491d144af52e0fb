"""The dashboard's queries over real services, Prefect's server and a real Prometheus: each panel must have data."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from merrflow.cli.services import call_once
from merrflow.pipeline.local_services import LocalServices
from merrflow_serving.catalog import NEEDED, SERVICES
from merrflow_serving.media.images import encode_jpeg
from merrflow_serving.media.video import read_frames
from merrflow_serving.metrics import Metrics
from tests.deploy.test_observability import FOLDER, ROOT, alerts, dashboard_queries
from tests.ports import free_port
from tests.prefect_home import home_with_database
from tests.services.serving.test_metrics import STATE

CLIP = ROOT / "examples/clips/surprise_visit.mp4"
DATA_SECONDS = 120

pytestmark = [
    pytest.mark.slow,  # all services, two servers and minutes of samples; test_observability.py reads the same files
    pytest.mark.skipif(
        not shutil.which("prometheus"), reason="prometheus is not installed (Debian: apt-get install prometheus)"
    ),
]


def configuration(folder: Path, ports: dict[str, int], gpu_port: int, prefect_port: int, own_port: int) -> Path:
    """The project's own configuration, with other targets and a shorter interval."""
    whole = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    whole["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    jobs = {job["job_name"]: job for job in whole["scrape_configs"]}
    del jobs["merrflow"]["dns_sd_configs"], jobs["merrflow"]["relabel_configs"]
    jobs["merrflow"]["static_configs"] = [
        {"targets": [f"127.0.0.1:{port}"], "labels": {"service": name}} for name, port in ports.items()
    ] + [{"targets": [f"127.0.0.1:{gpu_port}"], "labels": {"service": "llama3"}}]
    jobs["prefect"]["static_configs"] = [{"targets": [f"127.0.0.1:{prefect_port}"]}]
    jobs["prometheus"]["static_configs"] = [{"targets": [f"127.0.0.1:{own_port}"]}]
    shutil.copy(FOLDER / "alerts.yml", folder)
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(whole))
    return file


@contextmanager
def process(command: list[str], log: Path, **variables: str) -> Iterator[None]:
    with log.open("wb") as output:
        started = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | variables)
        try:
            yield
        finally:
            started.terminate()
            with suppress(subprocess.TimeoutExpired):
                started.wait(20)
            started.kill()
            started.wait()


def at_work(rules: list[dict[str, str]]) -> set[str]:
    """The alerts that fire, or will if it goes on like this."""
    return {rule["name"] for rule in rules if rule["state"] != "inactive"}


def fetch(port: int, path: str, **parameters: str) -> object:
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    return json.loads(urllib.request.urlopen(url, timeout=10).read())["data"]


def has_data(port: int, query: str) -> bool:
    """Whether the query has a sample that is not NaN."""
    query = query.replace("$__rate_interval", "15s").replace("$service", ".*").replace("$replica", ".*")
    assert "$" not in query
    samples = fetch(port, "query", query=query)["result"]
    return any(not math.isnan(float(sample["value"][1])) for sample in samples)


async def load(folder: Path, config: Path) -> list[object]:
    """One good request to each service, and a bad one. Gives what they came to: a service may still be starting."""
    picture, ask = folder / "picture.jpg", folder / "ask.json"
    picture.write_bytes(encode_jpeg(read_frames(CLIP, {30})[30].image))
    ask.write_text(json.dumps({"scene": "A person.", "expressions": ["raised brows"], "label": "surprise"}))
    files = {"openface-au": CLIP, "minigpt-v2": picture, "qwen-audio": CLIP, "llama3": ask}
    sent = [(name, files[name]) for name in NEEDED] + [("qwen-audio", picture)]
    calls = (call_once(name, file, config, lambda text: None) for name, file in sent)
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_each_panel_has_data_and_each_rule_is_evaluated(tmp_path, monkeypatch):
    ports = {name: free_port() for name in NEEDED}
    gpu_port, prefect_port, port = free_port(), free_port(), free_port()
    for name in NEEDED:
        monkeypatch.setenv(f"{SERVICES[name].env_prefix}METRICS_PORT", str(ports[name]))
    gpu = Metrics("llama3")  # a replica with a GPU, as a machine with one has it
    gpu.follow(lambda: STATE)
    gpu.serve("127.0.0.1", gpu_port)
    prefect = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(prefect_port)]
    prometheus = [
        "prometheus",
        f"--config.file={configuration(tmp_path, ports, gpu_port, prefect_port, port)}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with ExitStack() as stack:
        home = str(home_with_database(tmp_path / "prefect"))
        stack.enter_context(
            process(prefect, tmp_path / "prefect.log", PREFECT_HOME=home, PREFECT_SERVER_METRICS_ENABLED="true")
        )
        stack.enter_context(process(prometheus, tmp_path / "prometheus.log"))
        async with LocalServices(tmp_path / "logs", None) as local:
            addresses = {f"{name.replace('-', '_')}_address": address for name, address in local.addresses.items()}
            config = tmp_path / "settings.yaml"
            config.write_text(yaml.safe_dump(addresses | {"token": local.token}))
            missing = dict.fromkeys(dashboard_queries())
            deadline = time.monotonic() + DATA_SECONDS
            while missing and time.monotonic() < deadline:
                came = await load(tmp_path, config)
                await asyncio.sleep(1)
                missing = {query: None for query in missing if not await asyncio.to_thread(has_data, port, query[1])}
            assert not missing, f"panels without data: {list(missing)}; the last requests: {came}"

            services = fetch(port, "label/service/values", **{"match[]": 'up{job="merrflow"}'})
            assert set(services) == set(NEEDED), "the choice above the panels"
            up = fetch(port, "query", query="up")["result"]
            assert all(sample["value"][1] == "1" for sample in up), up
            assert all(set(sample["metric"]) & {"service"} for sample in up if sample["metric"]["job"] == "merrflow")
            rules = [rule for group in fetch(port, "rules")["groups"] for rule in group["rules"]]
            assert {rule["name"] for rule in rules} == {rule["alert"] for rule in alerts()}
            assert {rule["health"] for rule in rules} == {"ok"}
            # The stand-in for a GPU has another model than the real llama3, one request in five is bad, and Prefect's
            # server takes longer to start than Prometheus.
            expected = {"MerrflowReplicasDiffer", "MerrflowBadInput", "PrefectDown"}
            # Prometheus may have looked last while the services were still loading.
            while (raised := at_work(rules) - expected) and time.monotonic() < deadline:
                await asyncio.sleep(1)
                rules = [rule for group in fetch(port, "rules")["groups"] for rule in group["rules"]]
            assert not raised
            assert re.search(r"exported_\w+", json.dumps(fetch(port, "labels"))) is None, "no label is renamed"
