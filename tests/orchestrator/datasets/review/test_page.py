"""The review page in a real browser, against `merrflow review` as a process that is killed in between.

Keeps pictures of the page in build/artifacts, or where MERRFLOW_ARTIFACTS says.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from merrflow.core.fingerprint import file_sha256
from merrflow.datasets.entries import entries
from merrflow.datasets.review.audit import audited
from merrflow.datasets.review.index import by_doubt, read_items
from merrflow.datasets.review.verdicts import by_clip, standing
from merrflow.store import Ledger
from tests.orchestrator.datasets.review.runs import LABELS, reviewable
from tests.orchestrator.datasets.review.servers import Server, serving
from tests.paths import ROOT

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)"),
]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
RECORDS = 20
SHOWN = """() => {
    const name = document.getElementById("name").textContent;
    return document.querySelector('.row[aria-selected="true"] .name')?.textContent === name && name;
}"""


ERRORS = []  # of pages; checked when the browser ends


def watched(page) -> None:
    """Whatever goes wrong in the page fails the test at its end."""
    page.on("pageerror", lambda error: ERRORS.append(str(error)))


def playing(page) -> None:
    """Waits until the clip can be played."""
    for _ in range(100):
        if page.evaluate("document.getElementById('video').readyState") >= 2:
            return
        page.wait_for_timeout(100)
    raise AssertionError(page.inner_text("#no-video"))


@pytest.fixture
def browser():
    ERRORS.clear()
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
    assert not ERRORS


def opened(browser, server: Server, name: str, width: int = 1400, height: int = 900):
    """The page as one reviewer has it, who has entered a name. Any error in it fails the test."""
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    watched(page)
    page.goto(server.address)
    page.fill("#name-input", name)
    page.keyboard.press("Enter")
    shown(page)
    return page


def shown(page) -> str:
    """The name of the clip that is shown, once it is."""
    playwright.expect(page.locator("#labels button").first).to_be_visible()
    # Both are read in one step: the page may go on to the next clip at any moment.
    return page.wait_for_function(SHOWN).json_value()


def saved(page) -> None:
    playwright.expect(page.locator("#saved")).to_have_text("saved", timeout=30_000)
    assert page.evaluate("window.merrflow.waiting()") == 0


def press(page, *keys: str) -> None:
    """Each as soon as the clip is there that it is meant for."""
    for key in keys:
        shown(page)
        page.keyboard.press(key)
        page.wait_for_timeout(60)


def picture(page, name: str) -> None:
    folder = Path(os.environ.get("MERRFLOW_ARTIFACTS", ROOT / "build/artifacts"))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    reviewable(tmp_path, [LABELS[n % 3] for n in range(RECORDS)], video=True).close()
    return tmp_path


def test_two_reviewers_by_keyboard_while_the_server_is_killed(browser, out: Path) -> None:
    ledger = Ledger.in_folder(out)
    order = [item.name for item in by_doubt(list(read_items(ledger).values()))]
    with serving(out, "review") as server:
        ann, ben = opened(browser, server, "ann"), opened(browser, server, "ben")
        seen = []
        for number in range(RECORDS):
            if number == 7:  # in the middle: what is said meanwhile waits in the browser
                server.end(signal.SIGKILL)
            seen.append(shown(ann))
            ann.keyboard.press("r" if number % 5 == 4 else "a" if number % 2 else "2")  # 2: happy
            if number == 7:
                playwright.expect(ann.locator("#saved")).to_contain_text(
                    "not saved: the server is away", timeout=10_000
                )
                server.start()
                saved(ann)
                ann.click(f".row:has-text('{order[8]}')")
            elif number < RECORDS - 1:
                playwright.expect(ann.locator("#name")).to_have_text(order[number + 1])
            if number < 10:
                before = shown(ben)
                ben.keyboard.press("a")
                playwright.expect(ben.locator("#name")).not_to_have_text(before)
        for page in (ann, ben):
            saved(page)
        assert seen == order
        found = by_clip(standing(ledger.verdicts()))
        assert sum(one.reviewer == "ann" for said in found.values() for one in said) == RECORDS
        assert sum(one.reviewer == "ben" for said in found.values() for one in said) == 10
        mine = {clip: one.category for clip, said in found.items() for one in said if one.reviewer == "ann"}
        assert [mine[clip] == "(rejected)" for clip in order] == [n % 5 == 4 for n in range(RECORDS)]
        ann.click("#agreement-button")
        playwright.expect(ann.locator("#people-text")).to_contain_text("10 clips with two or more reviewers")
        assert server.end(signal.SIGTERM) in (0, 143, -signal.SIGTERM)
    ledger.close()


def test_corrections_undo_and_filters(browser, out: Path) -> None:
    with serving(out, "review", "--reviewer", "ann") as server:
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        watched(page)
        page.goto(server.address)
        first = shown(page)
        playing(page)
        assert page.evaluate("document.getElementById('video').duration") > 3
        peak = page.inner_text("#time")
        press(page, "ArrowRight")
        playwright.expect(page.locator("#time")).not_to_have_text(peak)
        press(page, "m", "s")
        page.locator("#subtitle").fill("What a night")
        page.keyboard.press("Escape")
        page.keyboard.press("t")
        page.locator("#fine").fill("The smile is wide.")
        page.keyboard.press("Escape")
        picture(page, "review-1400")
        page.keyboard.press("a")
        saved(page)
        page.wait_for_timeout(300)
        ledger = Ledger.in_folder(out)
        record = next(iter(entries(ledger, {first}))).record
        assert (record.subtitle.text, record.reasoning.text) == ("What a night", "The smile is wide.")
        assert record.peak.index > 20
        page.keyboard.press("u")
        saved(page)
        assert next(iter(entries(ledger, {first}))).record.subtitle.source == "table"
        playwright.expect(page.locator("#name")).to_have_text(first)
        page.keyboard.press("?")
        playwright.expect(page.locator("#key-map")).to_contain_text("undo your last verdict")
        picture(page, "review-keys")
        page.keyboard.press("Escape")
        page.select_option("#label", "sad")
        playwright.expect(page.locator("#found")).to_have_text("7 clips")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("b")
        playwright.expect(page.locator("#found")).to_have_text("20 clips")
        playwright.expect(page.locator("#verdict")).to_contain_text("Blind")
        assert "sad" not in page.inner_text("#list")
        picture(page, "review-blind")
        ledger.close()


def test_an_audit_on_a_phone(browser, out: Path) -> None:
    with serving(out, "audit", "--sample", "6", "--seed", "3") as server:
        page = opened(browser, server, "ann", 400, 850)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        playing(page)
        picture(page, "audit-400")
        page.click("#labels button[data-label='happy']")
        playwright.expect(page.locator("#clues")).to_be_visible()
        page.locator("#clues").scroll_into_view_if_needed()
        picture(page, "audit-400-clues")
        for key in ("y", "x", "c", "y", "y"):
            page.keyboard.press(key)
        saved(page)
    ledger = Ledger.in_folder(out)
    found = audited(ledger, out)
    ledger.close()
    assert found is not None
    assert found.judged == 1
    assert {clue: share.value for clue, share in found.clues.items()} == {
        "face": 1.0,
        "scene": 0.0,
        "subtitle": 1.0,
        "text": 1.0,
    }


def test_the_clips_are_as_they_were(browser, out: Path) -> None:
    before = {path.name: file_sha256(path) for path in (out / "clips").iterdir()}
    with serving(out, "review") as server:
        opened(browser, server, "ann")
    assert {path.name: file_sha256(path) for path in (out / "clips").iterdir()} == before


def test_a_verdict_said_while_the_next_clip_loads_is_for_neither(browser, out: Path) -> None:
    with serving(out, "review", "--reviewer", "ann") as server:
        page = browser.new_page()
        watched(page)
        page.goto(server.address)
        first = shown(page)
        page.route("**/api/clips/*?*", lambda route: (time.sleep(0.5), route.continue_()))
        page.keyboard.press("a")
        page.keyboard.press("r")  # the first clip is still what one sees
        playwright.expect(page.locator("#name")).not_to_have_text(first)
        second = shown(page)
        saved(page)
        ledger = Ledger.in_folder(out)
        order = [item.name for item in by_doubt(list(read_items(ledger).values()))]
        said = {one.clip for one in standing(ledger.verdicts())}
        ledger.close()
        assert (said, second) == ({first}, order[1])
        page.close()


def test_what_others_say_is_pushed_and_asked_for_if_it_cannot_be(browser, out: Path) -> None:
    with serving(out, "review") as server:
        ann, ben = opened(browser, server, "ann"), opened(browser, server, "ben")
        asked: list[str] = []
        ann.on("request", lambda request: asked.append(request.url))
        ben.keyboard.press("a")
        saved(ben)
        playwright.expect(ann.locator("#progress")).to_contain_text("1 by anyone", timeout=3000)
        ann.wait_for_timeout(7000)  # longer than a page without a stream waits
        assert sum("/api/progress" in url for url in asked) == 1
        ann.route("**/api/news", lambda route: route.abort())
        ann.reload()
        shown(ann)
        ben.keyboard.press("a")
        saved(ben)
        playwright.expect(ann.locator("#progress")).to_contain_text("2 by anyone", timeout=15_000)
