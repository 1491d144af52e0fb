"""The reports that a worker serves: over real HTTP, of runs in a real Prefect server."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists

from merrflow.core.errors import InputError
from merrflow.flow.names import TAG
from merrflow.flow.report_server import ReportServer
from merrflow.flow.reports import serve_reports
from tests.ports import free_port

POOL = "pool-of-the-test"
PAGE = "<!DOCTYPE html><title>report</title>"
pytestmark = pytest.mark.usefixtures("server")


@flow
def nothing(out: str) -> None: ...


async def a_run(out: object, *, pool: str = POOL, tags: tuple[str, ...] = (TAG,)) -> str:
    """The id of a flow run into this folder, in a pool of this name."""
    async with get_client() as client:
        with suppress(ObjectAlreadyExists):
            await client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        known = await client.create_flow(nothing)
        made = await client.create_deployment(known, f"made-{uuid4()}", work_pool_name=pool, tags=list(tags))
        run = await client.create_flow_run_from_deployment(made, parameters={"out": out})
        return str(run.id)


@asynccontextmanager
async def served(url: str = "", say=lambda text: None, **options):
    """A client of the server of reports."""
    server = ReportServer(port=free_port(), **options)
    url = url or server.url()
    async with (
        serve_reports(server, url, POOL, say),
        httpx.AsyncClient(base_url=server.url(), trust_env=False, verify=False) as client,
    ):
        yield client


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "report.html").write_text(PAGE)
    (tmp_path / "ledger.db").write_text("secret")
    return tmp_path


async def test_the_report_of_a_run_is_served_with_a_policy_that_lets_it_do_nothing_else(out):
    run = await a_run(str(out))
    async with served() as client:
        answer = await client.get(f"/reports/{run}")
        assert (answer.status_code, answer.text) == (200, PAGE)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "sandbox" in policy and "connect-src" not in policy
        assert (await client.post(f"/reports/{run}", headers={"origin": str(client.base_url)})).status_code in (
            403,
            405,
        )
        assert (await client.delete(f"/reports/{run}")).status_code in (403, 405)
    assert (out / "report.html").read_text() == PAGE


async def test_nothing_but_the_report_of_a_known_run_is_served(out, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "report.html").symlink_to(out / "ledger.db")
    pipe = tmp_path_factory.mktemp("pipe")
    os.mkfifo(pipe / "report.html")
    run = await a_run(str(out))
    paths = [
        f"/reports/{uuid4()}",
        f"/reports/{await a_run(str(out), pool='another')}",
        f"/reports/{await a_run(str(out), tags=('other',))}",
        f"/reports/{await a_run(str(other))}",
        f"/reports/{await a_run(str(pipe))}",
        f"/reports/{await a_run(str(out / 'nowhere'))}",
        f"/reports/{await a_run([str(out)])}",
        f"/reports/{await a_run('')}",
        f"/reports/{run}/../../ledger.db",
        f"/reports/{run}/ledger.db",
        f"/reports/{run}%2f..%2fledger.db",
        "/reports/..%2f..%2f..%2fetc%2fpasswd",
        "/reports//etc/passwd",
        "/reports/",
        "/ledger.db",
        "/",
    ]
    async with served() as client:
        for path in paths:
            answer = await client.get(path)
            assert answer.status_code == 404, path
            assert "secret" not in answer.text and "root:" not in answer.text, path


async def test_a_page_of_another_site_may_link_to_it_but_not_under_another_name(out):
    run = await a_run(str(out))
    async with served() as client:
        linked = await client.get(f"/reports/{run}", headers={"sec-fetch-site": "cross-site"})
        assert linked.status_code == 200 and "frame-ancestors 'none'" in linked.headers["content-security-policy"]
        rebound = await client.get(f"/reports/{run}", headers={"host": "evil.example:4220"})
        assert rebound.status_code == 421 and PAGE not in rebound.text


async def test_with_a_token_only_who_has_it_sees_a_report(out, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef0123\n")
    run = await a_run(str(out))
    async with served(token_file=tokens) as client:
        assert (await client.get(f"/reports/{run}")).status_code == 401
        assert (await client.get(f"/reports/{run}?token=wrong")).status_code == 401
        opened = await client.get(f"/reports/{run}?token=0123456789abcdef0123", follow_redirects=True)
        assert (opened.status_code, opened.text) == (200, PAGE)
        assert "token" not in str(opened.url), "it stays in no address bar"


def test_it_does_not_listen_where_strangers_could_come_in(tmp_path):
    with pytest.raises(InputError, match="other machines could see faces"):
        ReportServer(host="0.0.0.0").tokens("https://reports.example")
    with pytest.raises(InputError, match="other machines could see faces"):
        ReportServer(host="0.0.0.0").tokens("http://10.0.0.7:4220")
    assert ReportServer(host="0.0.0.0").tokens("http://127.0.0.1:4220") == (), "a container's published port"
    assert ReportServer().tokens("https://reports.example") == (), "a proxy on this machine"


async def test_a_port_that_is_taken_is_said_and_no_error(out):
    said = []
    async with served() as client:
        port = client.base_url.port
        async with serve_reports(ReportServer(port=port), "http://127.0.0.1:1", POOL, said.append):
            pass
        assert (await client.get("/")).status_code == 404, "the first one still serves"
    assert len(said) == 1 and f"cannot listen at 127.0.0.1:{port}" in said[0] and "--reports-port" in said[0]
