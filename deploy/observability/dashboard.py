"""Writes grafana/dashboards/merrflow.json from panels.yaml: `make generated`; `--check` only compares.

Edit there, not in the JSON, and not in Grafana, which shows the file read-only.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

import yaml

FOLDER = Path(__file__).parent
FILE = FOLDER / "grafana/dashboards/merrflow.json"
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}  # as in grafana/provisioning/datasources/prometheus.yml
COLUMNS = 24
USUAL = {"kind": "timeseries", "unit": "short", "width": 8, "height": 8}  # of a panel that does not say
OPTIONS: Mapping[str, Any] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}},
    "table": {"showHeader": True},
}
HIDDEN = {name: True for name in ("Time", "Value", "__name__", "job")}  # columns of tables


class _Terms(Template):
    """`%select` is filled in; `$service` is left for Grafana."""

    delimiter = "%"


def queries(panel: Mapping[str, Any]) -> dict[str, str]:
    """PromQL by legend."""
    if "latency" in panel:
        name, labels = panel["latency"].split("{")
        rate = f"sum by (service, le) (rate({name}_bucket{{{labels}[$__rate_interval]))"
        return {
            f"{{{{service}}}} {word}": f"histogram_quantile({share}, {rate})"
            for share, word in ((0.5, "half"), (0.95, "95 %"))
        }
    found: dict[str, str] = panel.get("queries") or {"": panel["query"]}
    return found


def target(index: int, query: str, legend: str, kind: str) -> dict[str, Any]:
    now = {"instant": True, "range": False, "format": "table"} if kind == "table" else {"range": True}
    names = {"legendFormat": legend} if legend else {}
    return {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": query, **names, **now}


def made(number: int, panel: Mapping[str, Any], x: int, y: int, terms: Mapping[str, str]) -> dict[str, Any]:
    """One panel as Grafana stores it."""
    kind = panel["kind"]
    defaults: dict[str, Any] = {"unit": panel["unit"], "min": 0}
    if kind == "timeseries":
        defaults["custom"] = {"fillOpacity": 10, "showPoints": "never"}
    if "top" in panel:
        defaults["max"] = panel["top"]
    if kind == "stat":
        steps = [{"value": None, "color": "green"}]
        steps += [{"value": panel["bad"], "color": "red"}] if "bad" in panel else []
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    found = {
        "id": number,
        "type": kind,
        "title": panel["title"],
        "description": panel["text"],
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": panel["width"], "h": panel["height"]},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": OPTIONS[kind],
        "targets": [
            target(index, _Terms(query).substitute(terms), legend, kind)
            for index, (legend, query) in enumerate(queries(panel).items())
        ],
    }
    if kind == "table":
        found["transformations"] = [{"id": "organize", "options": {"excludeByName": HIDDEN}}]
    return found


def panels(rows: list[dict[str, Any]], terms: Mapping[str, str]) -> list[dict[str, Any]]:
    """All panels, in rows from left to right."""
    found: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        found.append({"id": len(found) + 1, "type": "row", "title": row["title"], "gridPos": place, "collapsed": False})
        x, y, height = 0, y + 1, 0
        for given in row["panels"]:
            panel = USUAL | row.get("of_each", {}) | given
            if x + panel["width"] > COLUMNS:
                x, y, height = 0, y + height, 0
            found.append(made(len(found) + 1, panel, x, y, terms))
            x, height = x + panel["width"], max(height, panel["height"])
        y += height
    return found


def variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # whenever the time range changes
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "sort": 1,
        "current": {"text": ["All"], "value": ["$__all"], "selected": True},
    }


def text() -> str:
    """The file's contents: the dashboard as Grafana stores it."""
    given = yaml.safe_load((FOLDER / "panels.yaml").read_text(encoding="utf-8"))
    terms = {name: _Terms(term).safe_substitute(given["terms"]) for name, term in given["terms"].items()}
    dashboard = {
        "uid": "merrflow",
        "title": "merrflow",
        "description": "Throughput, queues, batches, GPUs and errors of the model services",
        "tags": ["merrflow"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,  # one crosshair over all panels
        "timezone": "browser",
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [variable(name, query) for name, query in given["variables"].items()]},
        "panels": panels(given["rows"], terms),
    }
    return json.dumps(dashboard, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        FILE.write_text(text(), encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != text():
        sys.exit(f"{FILE.name} does not fit panels.yaml: make generated")
