"""Prometheus, its alerts and Grafana's dashboard fit the services and each other: files alone, no containers."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from merrflow_serving.catalog import METRICS_PORT, NEEDED, SERVICES
from merrflow_serving.metrics import Metrics
from tests.services.serving.test_metrics import STATE
from tests.services.serving.toy import SPEC

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/observability"
DASHBOARD = FOLDER / "grafana/dashboards/merrflow.json"
OVERRIDE = ROOT / "deploy/compose/observability.yml"
# What Prometheus makes itself.
OWN_METRICS = {"up", "ALERTS"}
OWN_LABELS = {"job", "instance", "service", "alertstate"}


def read(path: Path) -> dict:
    return yaml.safe_load(path.read_text())


def metrics_page() -> dict[str, set[str]]:
    """Each metric of a service's page with its labels."""
    metrics = Metrics("qwen-audio")
    metrics.expect(SPEC.proto)
    metrics.follow(lambda: STATE)
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def alerts() -> list[dict]:
    return [rule for group in read(FOLDER / "alerts.yml")["groups"] for rule in group["rules"]]


def panels() -> list[dict]:
    return json.loads(DASHBOARD.read_text())["panels"]


def dashboard_queries() -> list[tuple[str, str]]:
    return [(panel["title"], target["expr"]) for panel in panels() for target in panel.get("targets", ())]


def metrics_of(query: str) -> set[str]:
    return set(re.findall(r"\b(?:merrflow|process)_\w+|\bup\b|\bALERTS\b", query))


def tool(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed (Debian: apt-get install prometheus)")
    return found


ALL_QUERIES = [(rule["alert"], rule["expr"]) for rule in alerts()] + dashboard_queries()


@pytest.mark.parametrize(("where", "query"), ALL_QUERIES, ids=lambda value: value[:40].replace("\n", " "))
def test_queries_ask_for_metrics_and_labels_that_a_service_has(where, query):
    page = metrics_page()
    names = metrics_of(query)
    assert names, query
    assert names <= set(page) | OWN_METRICS
    for name, matchers in re.findall(r"(\w+)\{([^}]*)\}", query):
        for label in re.findall(r"(\w+)(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', matchers)):
            assert label in page.get(name, set()) | OWN_LABELS, f"{name} has no label {label}"
    for labels in re.findall(r"by \(([^)]*)\)", query):
        given = set().union(*(page.get(name, set()) for name in names))
        assert {label.strip() for label in labels.split(",")} <= given | OWN_LABELS, query


def test_alerts_and_dashboard_mean_the_same_by_an_error():
    assert len({found for _, query in ALL_QUERIES for found in re.findall(r'code!~"[^"]+"', query)}) == 1


def test_every_metric_of_the_services_is_shown_or_watched():
    asked = set().union(*(metrics_of(query) for _, query in ALL_QUERIES))
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked}
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in metrics_page() if name.startswith("merrflow_")}
    assert ours == {name for name in shown if name.startswith("merrflow_")}


def test_every_replica_of_every_service_is_read():
    jobs = {job["job_name"]: job for job in read(FOLDER / "prometheus.yml")["scrape_configs"]}
    (found,) = jobs["merrflow"]["dns_sd_configs"]
    assert set(found["names"]) == set(SERVICES)
    overridden = read(OVERRIDE)["services"]
    for name, entry in SERVICES.items():
        assert found["port"] == METRICS_PORT
        assert overridden[name]["environment"] == {
            f"{entry.env_prefix}METRICS_HOST": "0.0.0.0",
            f"{entry.env_prefix}METRICS_PORT": str(found["port"]),
        }
    (missing,) = [rule["expr"] for rule in alerts() if rule["alert"] == "MerrflowServiceMissing"]
    assert set(re.findall(r'service="([\w-]+)"', missing)) == set(NEEDED)


def test_prefect_is_read_where_it_serves():
    whole = read(ROOT / "docker-compose.yml")["services"]["prefect"]
    jobs = {job["job_name"]: job for job in read(FOLDER / "prometheus.yml")["scrape_configs"]}
    ((target,),) = [config["targets"] for config in jobs["prefect"]["static_configs"]]
    name, port = target.split(":")
    assert name == "prefect" and port in whole["entrypoint"]
    assert read(OVERRIDE)["services"]["prefect"]["environment"] == {"PREFECT_SERVER_METRICS_ENABLED": "true"}


def test_override_is_confined_pinned_and_complete():
    text, whole = OVERRIDE.read_text(), read(OVERRIDE)
    defaults = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", (ROOT / ".env").read_text(), re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)\}", text)) <= set(defaults)
    for name in ("prometheus", "grafana"):
        service = whole["services"][name]
        assert re.search(r":v?\d+\.\d+\.\d+$", defaults[f"{name.upper()}_IMAGE"]), "an exact version"
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
        assert service["user"] not in ("", "0", "root")
        assert service["mem_limit"] and service["pids_limit"] and service["healthcheck"]
        assert all(port.startswith("127.0.0.1:${") for port in service["ports"])
        for volume in service["volumes"]:
            if isinstance(volume, dict):
                assert volume["read_only"] is True
                assert (ROOT / volume["source"]).exists(), volume["source"]
            else:
                assert volume.split(":")[0] in whole["volumes"]
    flags = whole["services"]["prometheus"]["command"]
    assert any(flag.startswith("--storage.tsdb.retention.size=") for flag in flags), "the disk is not filled"


def test_alerts_say_what_to_do_and_each_is_proved():
    proved = (FOLDER / "alerts_test.yml").read_text()
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert len(rule["annotations"]["description"]) > 60 and "\n" not in rule["annotations"]["summary"]
        assert re.search(rf'alertname="{rule["alert"]}"|alertname: {rule["alert"]}\n', proved), rule["alert"]


def test_alerts_fire_when_they_should_and_not_before():
    ended = subprocess.run(
        [tool("promtool"), "test", "rules", "alerts_test.yml"], cwd=FOLDER, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_prometheus_takes_its_configuration():
    ended = subprocess.run(
        [tool("promtool"), "check", "config", "prometheus.yml"], cwd=FOLDER, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_dashboard_is_what_its_script_writes(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    script = importlib.import_module("dashboard")
    assert DASHBOARD.read_text() == script.text(), "make generated"


def test_dashboard_panels_fill_their_places_once():
    found = panels()
    assert len({panel["id"] for panel in found}) == len(found)
    places = [(panel["title"], panel["gridPos"]) for panel in found]
    assert all(place["x"] + place["w"] <= 24 for _, place in places)
    for (one, a), (other, b) in combinations(places, 2):
        apart = (
            a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
            or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        )  # fmt: skip
        assert apart, f"{one} and {other} overlap"


def test_dashboard_finds_its_data_source_and_variables():
    dashboard = json.loads(DASHBOARD.read_text())
    (source,) = read(FOLDER / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    (provider,) = read(FOLDER / "grafana/provisioning/dashboards/merrflow.yml")["providers"]
    grafana = read(OVERRIDE)["services"]["grafana"]
    mounted = {volume["target"] for volume in grafana["volumes"] if isinstance(volume, dict)}
    assert provider["options"]["path"] in mounted
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) in mounted and home.name == DASHBOARD.name
    assert source["url"] == "http://prometheus:9090"
    used = {panel["datasource"]["uid"] for panel in dashboard["panels"] if "datasource" in panel}
    assert used == {source["uid"]}
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    asked = set(re.findall(r"\$(\w+)", " ".join(query for _, query in dashboard_queries())))
    assert asked - {"__rate_interval"} == variables == {"service", "replica"}


def test_dashboard_fits_grafanas_schema():
    """Grafana's own classes, made from its schema, read the file and lose nothing of it."""
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins

    register_default_plugins()
    dashboard = json.loads(DASHBOARD.read_text())
    again = json.loads(json.dumps(models.Dashboard.from_json(dashboard), cls=JSONEncoder))
    assert not list(lost(dashboard, again))
    dashboard["panels"][1]["targets"][0]["expression"] = "up"  # a name that Grafana does not know
    again = json.loads(json.dumps(models.Dashboard.from_json(dashboard), cls=JSONEncoder))
    assert list(lost(dashboard, again)) == ["/panels/1/targets/0/expression"]


def lost(given: object, kept: object, path: str = "") -> list[str]:
    """The places at which `kept` misses or changes something of `given`."""
    if isinstance(given, dict) and isinstance(kept, dict):
        return [
            place
            for key, value in given.items()
            for place in (lost(value, kept[key], f"{path}/{key}") if key in kept else [f"{path}/{key}"])
        ]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return [place for i, pair in enumerate(zip(given, kept, strict=True)) for place in lost(*pair, f"{path}/{i}")]
    return [] if given == kept else [path]
