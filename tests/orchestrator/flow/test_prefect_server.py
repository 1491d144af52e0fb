"""`merrflow prefect` as a process: its first page, its pages' policy, and the end of its history."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from merrflow.flow.deployment import register
from merrflow.flow.prefect_server import environment, policy

HTML = {"accept": "text/html,application/xhtml+xml"}


@pytest.fixture(scope="module")
def server(prefect_url: str) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=prefect_url.removesuffix("/api"), timeout=60) as client:
        yield client


def directives(text: str) -> dict[str, list[str]]:
    return {name: values for name, *values in (part.split() for part in text.split(";"))}


def test_every_page_may_call_its_server_alone(server):
    for path in ("/v2/dashboard", "/v2/deployments", "/dashboard", "/runs", "/v2/"):
        page = server.get(path, headers=HTML, follow_redirects=True)
        assert page.headers["content-type"].startswith("text/html"), path
        found = directives(page.headers["content-security-policy"])
        own = {"'self'", str(server.base_url).rstrip("/"), str(server.base_url).rstrip("/").replace("http", "ws")}
        assert set(found["connect-src"]) <= own, path
        assert found["default-src"] == ["'self'"]
        assert not [value for values in found.values() for value in values if "*" in value or value == "https:"]


def test_what_is_not_a_page_is_as_prefect_made_it(server):
    answer = server.get("/api/health")
    assert answer.json() is True and "content-security-policy" not in answer.headers
    settings = server.get("/api/admin/settings").json()["server"]
    assert settings["analytics_enabled"] is False
    assert settings["ui"]["show_promotional_content"] is False


def test_the_first_page_is_that_of_the_deployment_once_a_worker_has_registered_it(server, prefect_url):
    for one in server.post("/api/deployments/filter", json={}).json():  # of workers in other tests
        server.delete(f"/api/deployments/{one['id']}").raise_for_status()
    assert server.get("/", headers=HTML).headers["location"] == "/v2/deployments"
    with temporary_settings({PREFECT_API_URL: prefect_url}):
        asyncio.run(register())
    known = server.get("/api/deployments/name/annotate/annotate").json()["id"]
    landed = server.get("/", headers=HTML)
    assert (landed.status_code, landed.headers["location"]) == (307, f"/v2/deployments/deployment/{known}")
    older = server.get("/", headers=HTML | {"cookie": "prefect_ui_version=v1"})
    assert older.headers["location"] == f"/deployments/deployment/{known}", "whoever prefers the older pages gets them"


def test_runs_leave_the_history_after_their_days_and_not_before(server, prefect_home):
    flow = server.post("/api/flows/", json={"name": f"of-the-test-{uuid4()}"}).json()["id"]
    state = {"type": "COMPLETED", "name": "Completed"}
    old, new = (server.post("/api/flow_runs/", json={"flow_id": flow, "state": state}).json()["id"] for _ in range(2))
    with sqlite3.connect(prefect_home / "prefect.db", timeout=30) as database:
        for run, days in ((old, 2.0), (new, 0.9)):
            ended = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%d %H:%M:%S.%f")
            done = database.execute("update flow_run set end_time = ? where id = ?", (ended, run))
            assert done.rowcount == 1
    deadline = time.monotonic() + 60
    while server.get(f"/api/flow_runs/{old}").status_code != 404:
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.5)
    assert server.get(f"/api/flow_runs/{new}").status_code == 200


def test_all_of_the_history_can_be_kept():
    kept = environment("127.0.0.1", 4200, 0)
    assert kept["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"] == "events"
    month = environment("127.0.0.1", 4200, 30)
    assert month["PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD"] == str(30 * 24 * 3600)
    assert "flow_runs" in month["PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED"]


def test_an_api_at_another_address_may_be_called_too():
    found = directives(policy("https://prefect.example/api"))
    assert found["connect-src"] == ["'self'", "https://prefect.example", "wss://prefect.example"]
    assert directives(policy("/api"))["connect-src"] == ["'self'"]
