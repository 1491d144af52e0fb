"""Prefect's pages in a real browser: from the page where people land to the report of their run.

A real server, a real worker and the services, and a list of every connection that the pages ask for elsewhere. Keeps
pictures of the pages in build/artifacts, or where MERRFLOW_ARTIFACTS says.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.orchestrator.fakes import SlowScene, fake_services, make_video
from tests.paths import ROOT
from tests.ports import free_port
from tests.prefect_server import prefect_server

playwright = pytest.importorskip("playwright.async_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--no-proxy-server"]
RUN_MS = 180_000
CLIPS = 40
HOSTILE = "<img src=http://picture.test/x.png> [click](http://link.test) ![p](http://picture.test/p.png)"


class Elsewhere:
    """Where every host but this machine leads: remembers which were asked for."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._socket.getsockname()[1]
        self.asked: list[bytes] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(2)
                try:
                    self.asked.append(connection.recv(8192))  # a TLS greeting, which names the host, or a request
                except OSError:
                    continue

    def asked_by_pages(self) -> list[bytes]:
        """Without what the browser itself asks for, of its maker."""
        ours = (b"amplitude", b"prefect", b".test")
        return [text for text in self.asked if any(name in text for name in ours)]

    def close(self) -> None:
        self._socket.close()


@contextmanager
def worker(url: str, out: Path, clips: Path, log: Path, addresses: dict[str, str]) -> Iterator[int]:
    """`merrflow worker`; gives the port of its reports."""
    port = free_port()
    command = [sys.executable, "-c", "from merrflow.cli import main; main()", "worker", "--reports-port", str(port)]
    own = {"PREFECT_API_URL": url, "PREFECT_WORKER_QUERY_SECONDS": "1", "MERRFLOW_CLIPS_AT_ONCE": "2"}
    own |= {"PREFECT_WORKER_WEBSERVER_PORT": str(free_port()), "PREFECT_HOME": str(log.parent / "worker-home")}
    own |= {f"MERRFLOW_{name.upper()}": address for name, address in addresses.items()}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--inputs", str(clips), "--out", str(out)], env=os.environ | own, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 90
        while "registered annotate/annotate" not in log.read_text():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.3)
        yield port
    finally:
        process.terminate()
        process.wait(60)


async def test_from_the_first_page_to_the_report_and_no_call_leaves(tmp_path):
    pictures = Path(os.environ.get("MERRFLOW_ARTIFACTS", ROOT / "build/artifacts"))
    pictures.mkdir(parents=True, exist_ok=True)
    for number in range(CLIPS):
        make_video(tmp_path / f"clips/c{number:02}.mp4", "blue" if number % 7 == 3 else "red", seed=number)
    (tmp_path / "clips/c00.srt").write_text(f"1\n00:00:00,000 --> 00:00:00,400\n{HOSTILE}\n")
    expect, elsewhere = playwright.expect, Elsewhere()
    expect.set_options(timeout=60_000)  # names are updated every five seconds, and other work may slow them down
    rules = f"--host-resolver-rules=MAP * 127.0.0.1:{elsewhere.port}, EXCLUDE 127.0.0.1, EXCLUDE localhost"
    out = tmp_path / "out/dataset"
    SlowScene.looked.clear()
    async with fake_services(minigpt_v2=SlowScene) as addresses, playwright.async_playwright() as driver:
        with (
            prefect_server(tmp_path / "prefect", own=True) as url,
            worker(url, out, tmp_path / "clips", tmp_path / "worker.log", addresses) as reports,
        ):
            browser = await driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rules])
            page = await browser.new_page(viewport={"width": 1400, "height": 1100})
            await page.goto(url.removesuffix("/api"))

            # The first page is the deployment's.
            await expect(
                page.get_by_role("heading", name="annotate").or_(page.get_by_text("annotate")).first
            ).to_be_visible()
            await page.screenshot(path=pictures / "prefect-first.png")
            await page.get_by_role("button", name="Run", exact=True).click()
            await page.get_by_text("Custom run").click()
            await expect(page.get_by_text("Share of the neutral clips that become records")).to_be_visible()
            await page.screenshot(path=pictures / "prefect-form.png", full_page=True)
            async with page.expect_response(re.compile(r"create_flow_run$"), timeout=60_000) as created:
                await page.get_by_role("button", name="Submit").click()
            answer = await created.value  # before another page is opened, which would end the request
            assert answer.ok, (answer.status, (tmp_path / "prefect/server.log").read_text()[-3000:])

            # The run's page, and how far it is, without a click.
            await page.goto(url.removesuffix("/api"))
            await page.get_by_role("link", name="annotate into").first.click(timeout=RUN_MS)
            await expect(page.get_by_text(re.compile(r"^\d+ %: annotate into ")).first).to_be_visible(timeout=RUN_MS)
            await page.get_by_role("tab", name="Task Runs").click()
            await expect(
                page.get_by_text(re.compile(r"minigpt-v2 [1-9]\d* of \d+, \d\.\d/s, errors 0")).first
            ).to_be_visible()
            await page.screenshot(path=pictures / "prefect-running.png")
            SlowScene.looked.set()

            # Prefect's page asks no more for task runs once it has seen the run end, so the last list may be older.
            await expect(page.get_by_text("Completed", exact=True).first).to_be_visible(timeout=RUN_MS)
            await page.reload()
            await page.get_by_role("tab", name="Task Runs").click()
            await expect(page.get_by_text(re.compile(r"llama3 34 of 34")).first).to_be_visible()
            await page.screenshot(path=pictures / "prefect-run.png")
            run = page.url.split("/flow-run/")[1].split("?")[0]
            await page.get_by_role("tab", name="Logs").click()
            await expect(page.get_by_text(re.compile(r"100 % of 40 clips")).first).to_be_visible()
            await page.screenshot(path=pictures / "prefect-logs.png")

            artifacts = _artifacts(url, run)
            for base in ("/v2", ""):  # the newer pages show cells as they are, the older ones as Markdown
                await page.goto(
                    f"{url.removesuffix('/api')}{base}/artifacts/artifact/{artifacts['merrflow-clips']['id']}"
                )
                await expect(page.get_by_text("confirmed").first).to_be_visible()
                await page.screenshot(path=pictures / f"prefect-clips{base.replace('/', '-')}.png")
                assert not await page.locator("main img, main a[href*='.test'], td img, td a").count()

            # The report, by the link that the run shows.
            link = re.search(r"\((http.*?)\)", artifacts["merrflow-report"]["data"])[1]
            assert link == f"http://127.0.0.1:{reports}/reports/{run}"
            await page.goto(link)
            await expect(page.get_by_text("c01").first).to_be_visible()
            await page.get_by_placeholder(re.compile(".*")).first.fill("c02")
            await expect(page.get_by_text(re.compile(r"1 of \d+ shown"))).to_be_visible()
            await page.screenshot(path=pictures / "prefect-report.png")
            await browser.close()
    elsewhere.close()
    assert elsewhere.asked_by_pages() == []


def _artifacts(url: str, run: str) -> dict[str, dict[str, str]]:
    wanted = {"artifacts": {"flow_run_id": {"any_": [run]}}}
    found = httpx.post(f"{url}/artifacts/filter", json=wanted, trust_env=False).raise_for_status().json()
    return {one["key"]: one for one in found}


async def test_prefects_own_server_would_have_its_pages_call_an_analytics_host(tmp_path):
    """Once this fails, Prefect has mended it, and the policy of `merrflow prefect` may go."""
    elsewhere = Elsewhere()
    rules = f"--host-resolver-rules=MAP * 127.0.0.1:{elsewhere.port}, EXCLUDE 127.0.0.1, EXCLUDE localhost"
    with prefect_server(tmp_path / "prefect") as url:
        async with playwright.async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rules])
            page = await browser.new_page()
            await page.goto(url.removesuffix("/api"))
            await page.wait_for_timeout(5000)
            await browser.close()
    elsewhere.close()
    assert any(b"amplitude" in text for text in elsewhere.asked_by_pages())
