"""Prefect's UI in a real browser: a run is started from the form, and seen to its end.

Keeps pictures of the form and of the finished run in build/artifacts, or where MERRFLOW_ARTIFACTS says.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from merrflow_serving.catalog import NEEDED
from tests.deploy.stack import ROOT, reason_to_skip
from tests.records import timeless

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip() or "-"),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)"),
]
# Nothing but the page itself is asked for by this browser.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
RUN_MS = 300_000


def test_a_run_is_started_from_the_form_and_seen_to_its_end(stack):
    stack.wait_healthy(*NEEDED, "prefect", "worker")
    pictures = Path(os.environ.get("MERRFLOW_ARTIFACTS", ROOT / "build/artifacts"))
    pictures.mkdir(parents=True, exist_ok=True)
    expect = playwright.expect
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1300, "height": 2000})
        page.goto(f"http://127.0.0.1:{stack.ports['prefect']}/deployments")
        page.get_by_role("link", name="annotate", exact=True).first.click()
        page.get_by_role("button", name="Run", exact=True).click()
        page.get_by_text("Custom run").click()

        expect(page.get_by_text("Share of the neutral clips that become records")).to_be_visible()
        clips, out = (page.get_by_role("textbox").nth(number) for number in (1, 2))
        expect(clips).to_have_value("/clips")
        expect(out).to_have_value("/out/dataset")
        out.fill("/out/from-the-form")
        page.get_by_role("spinbutton").first.fill("1")  # neutral_sample
        page.screenshot(path=pictures / "prefect-form.png")
        page.get_by_role("button", name="Submit").click()

        # The list of runs follows by itself: the run gets its name when a worker begins it.
        page.get_by_role("link", name="annotate into /out/from-the-form").first.click(timeout=RUN_MS)
        expect(page.get_by_text("Completed", exact=True).first).to_be_visible(timeout=RUN_MS)
        page.screenshot(path=pictures / "prefect-run.png")
        page.get_by_text("Artifacts", exact=True).first.click()
        expect(page.get_by_text("How the clips came out").first).to_be_visible()
        page.screenshot(path=pictures / "prefect-artifacts.png")
        browser.close()
    assert len(timeless(stack.out / "from-the-form")) == len(list(stack.clips.glob("*.mp4")))
