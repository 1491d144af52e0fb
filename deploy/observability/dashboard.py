"""Writes grafana/dashboards/merrflow.json from the table in panels.py: `make generated`; `--check` only compares.

Edit there, not in the JSON, and not in Grafana, which shows the file read-only. Needs nothing but Python.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from panels import ROWS, Panel

FILE = Path(__file__).parent / "grafana/dashboards/merrflow.json"
DATASOURCE = {"type": "prometheus", "uid": "prometheus"}  # as in grafana/provisioning/datasources/prometheus.yml
COLUMNS = 24


def target(index: int, query: str, legend: str, kind: str) -> dict[str, Any]:
    now = {"instant": True, "range": False, "format": "table"} if kind == "table" else {"range": True}
    names = {"legendFormat": legend} if legend else {}
    return {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": query, **names, **now}


def panel(number: int, what: Panel, x: int, y: int) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": what.unit, "min": 0}
    options: dict[str, Any]
    if what.kind == "timeseries":
        defaults["custom"] = {"fillOpacity": 10, "showPoints": "never"}
        options = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                   "tooltip": {"mode": "multi", "sort": "desc"}}  # fmt: skip
    elif what.kind == "stat":
        options = {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
    else:
        options = {"showHeader": True}
    if what.top is not None:
        defaults["max"] = what.top
    if what.thresholds:
        steps = [{"value": value, "color": color} for value, color in what.thresholds]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    made = {
        "id": number,
        "type": what.kind,
        "title": what.title,
        "description": what.text,
        "datasource": DATASOURCE,
        "gridPos": {"x": x, "y": y, "w": what.width, "h": what.height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [target(index, *query, what.kind) for index, query in enumerate(what.queries)],
    }
    if what.kind == "table":
        hidden = {name: True for name in ("Time", "Value", "__name__", "job")}
        made["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden}}]
    return made


def panels() -> list[dict[str, Any]]:
    """All panels, in rows from left to right."""
    made: list[dict[str, Any]] = []
    y = 0
    for title, row in ROWS:
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        made.append({"id": len(made) + 1, "type": "row", "title": title, "gridPos": place, "collapsed": False})
        x, y, height = 0, y + 1, 0
        for what in row:
            if x + what.width > COLUMNS:
                x, y, height = 0, y + height, 0
            made.append(panel(len(made) + 1, what, x, y))
            x, height = x + what.width, max(height, what.height)
        y += height
    return made


def variable(name: str, label: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
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


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana stores it."""
    replica = 'label_values(up{job="merrflow",service=~"$service"}, instance)'
    return {
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
        "templating": {
            "list": [
                variable("service", "Service", 'label_values(up{job="merrflow"}, service)'),
                variable("replica", "Replica", replica),
            ]
        },
        "panels": panels(),
    }


def text() -> str:
    """The file's contents."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    if "--check" not in sys.argv:
        FILE.write_text(text(), encoding="utf-8")
    elif FILE.read_text(encoding="utf-8") != text():
        sys.exit(f"{FILE.name} does not fit panels.py: make generated")
