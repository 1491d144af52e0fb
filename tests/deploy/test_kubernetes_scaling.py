"""What the autoscaling reads is on the services' metrics pages, and Prometheus finds these."""

from __future__ import annotations

import re

import yaml
from prometheus_client import generate_latest

from merrflow_serving.catalog import METRICS_PORT, SERVICES
from merrflow_serving.server import Server
from tests.deploy.kubernetes_objects import KUBERNETES, of_kind, render
from tests.services.serving.toy import SPEC


async def test_scaling_is_by_a_metric_that_the_adapter_makes_of_the_services_own():
    rules = yaml.safe_load((KUBERNETES / "prometheus-adapter/values.yaml").read_text())["rules"]["custom"]
    made = {rule["name"]["as"]: rule for rule in rules}
    for item in of_kind(render("base"), "HorizontalPodAutoscaler").values():
        for metric in item["spec"]["metrics"]:
            assert metric["type"] == "Pods"
            assert metric["pods"]["metric"]["name"] in made
    server = Server(SPEC, SPEC.settings(port=0))  # which needs a running event loop
    page = generate_latest(server.service.metrics.registry).decode()
    on_page = set(re.findall(r"^(merrflow_\w+)", page, re.MULTILINE))
    for rule in rules:
        asked = set(re.findall(r"merrflow_\w+", rule["seriesQuery"] + rule["metricsQuery"]))
        assert asked and asked <= on_page
        assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}
        assert "<<.LabelMatchers>>" in rule["metricsQuery"] and "<<.GroupBy>>" in rule["metricsQuery"]


def test_prometheus_finds_the_pages():
    for name in SERVICES:
        template = of_kind(render("base"), "Deployment")[name]["spec"]["template"]
        assert template["metadata"]["annotations"] == {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": str(METRICS_PORT),
        }
