"""The page of `merrflow compare` in a real browser, against the command as a process that is killed in between.

Keeps pictures of the page in build/artifacts, or where MERRFLOW_ARTIFACTS says.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from merrflow.datasets.preference.answers import Answers
from tests.orchestrator.datasets.preference.runs import matched, run_with
from tests.orchestrator.datasets.review.test_page import CHROMIUM, FLAGS, Server, picture, watched
from tests.ports import free_port

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed (apt-get install chromium)"),
]
PAIRS = 12
WORSE = "The person seems to feel something, perhaps because of what happens."
BETTER = (
    "The corners of the mouth are drawn up and the eyes crinkle, while the voice is high and lively: "
    "“We got it! They said yes!” is good news, and the person is happy about it."
)


class CompareServer(Server):
    """`merrflow compare A B` at one port."""

    def __init__(self, a: Path, b: Path, *more: str) -> None:
        super().__init__(b)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}/"
        self._command = [sys.executable, "-c", "from merrflow.cli import main; main()", "compare", str(a), str(b)]
        self._command += ["--port", str(self.port), *more]


@contextmanager
def serving(a: Path, b: Path, *more: str) -> Iterator[CompareServer]:
    server = CompareServer(a, b, *more)
    server.start()
    try:
        yield server
    finally:
        server.end(signal.SIGKILL)


@pytest.fixture
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    names = [f"clip_{number:02}" for number in range(PAIRS)]
    return (
        run_with(tmp_path / "old", {name: f"{WORSE} {name}" for name in names}, video=True),
        run_with(tmp_path / "new", {name: f"{BETTER} {name}" for name in names}, video=True),
    )


def opened(browser, server: CompareServer, name: str, width: int = 1400, height: int = 900):
    page = browser.new_context(viewport={"width": width, "height": height}).new_page()
    errors: list[str] = []
    watched(page)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.address)
    page.fill("#name-input", name)
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#left")).not_to_be_empty()
    return page, errors


def answered(runs: tuple[Path, Path]):
    matching, ledger = matched(*runs)
    found = Answers(ledger, matching.pairs).all()
    ledger.close()
    return found


def press(page, better: bool) -> None:
    """The key of the better text, or of the worse one, and then waits for the next pair."""
    before = (page.inner_text("#left"), page.inner_text("#name"))
    left = before[0].startswith(BETTER[:20])
    page.keyboard.press("1" if left == better else "2")
    page.wait_for_function(
        "([text, name]) => document.getElementById('end').hidden === false"
        " || document.getElementById('left').textContent !== text"
        " || document.getElementById('name').textContent !== name",
        arg=list(before),
    )


def saved(page) -> None:
    playwright.expect(page.locator("#saved")).to_have_text("saved", timeout=30_000)
    assert page.evaluate("window.merrflow.waiting()") == 0


def test_two_reviewers_by_keyboard_while_the_server_is_killed(browser, runs) -> None:
    with serving(*runs, "--again", "0.5", "--seed", "3") as server:
        (ann, errors), (ben, more) = opened(browser, server, "ann"), opened(browser, server, "ben")
        total = int(ann.inner_text("#progress").split()[2])
        assert PAIRS < total < 2 * PAIRS
        ben.keyboard.press("0")
        press(ben, better=False)
        for number in range(total):
            if number == 4:
                saved(ann)
                server.end(signal.SIGKILL)
            press(ann, better=True)
            if number == 6:  # three answers wait in the browser
                playwright.expect(ann.locator("#saved")).to_contain_text(
                    "3 not saved: the server is away", timeout=10_000
                )
                server.start()
                saved(ann)
        playwright.expect(ann.locator("#end-text")).to_have_text("You have answered all pairs. Thank you.")
        saved(ann)
        saved(ben)
        assert ann.inner_text("#progress") == f"{total} of {total} by you"
        mine = [one for one in answered(runs) if one.judge == "ann"]
        assert len(mine) == total
        assert {one.choice for one in mine} == {"b"}
        assert len({one.order for one in mine}) == 2
        assert sorted(one.choice for one in answered(runs) if one.judge == "ben") == ["a", "same"]
        server.end(signal.SIGINT)
        found = json.loads((runs[1] / "compare/old/compare.json").read_text())
        (people,) = found["judges"]
        assert (people["all"]["b"], people["all"]["win_rate"]["value"]) >= (PAIRS - 1, 0.9)
        assert people["swap"] == {"value": 1.0, "low": pytest.approx(0.6, abs=0.2), "high": 1.0, "of": total - PAIRS}
        assert not errors and not more


def test_undo_also_after_a_reload_and_keys_and_the_picture_of_it(browser, runs) -> None:
    with serving(*runs, "--again", "0") as server:
        page, errors = opened(browser, server, "ann")
        for _ in range(100):
            if page.evaluate("document.getElementById('video').readyState") >= 2:
                break
            page.wait_for_timeout(100)
        picture(page, "compare-1400")
        first = page.inner_text("#left")
        press(page, better=True)
        second = page.inner_text("#left")
        page.keyboard.press("u")
        playwright.expect(page.locator("#left")).to_have_text(first)
        saved(page)
        assert answered(runs) == []
        press(page, better=False)
        saved(page)
        page.reload()
        playwright.expect(page.locator("#left")).to_have_text(second)
        assert page.inner_text("#progress") == f"1 of {PAIRS} by you"
        page.keyboard.press("u")
        playwright.expect(page.locator("#left")).to_have_text(first)
        page.keyboard.press("?")
        playwright.expect(page.locator("#key-map")).to_contain_text("undo your last answer")
        picture(page, "compare-keys")
        page.keyboard.press("1")  # not meant for the page behind it
        page.keyboard.press("Escape")
        playwright.expect(page.locator("#left")).to_have_text(first)
        saved(page)
        assert answered(runs) == []
        assert not errors


def test_on_a_phone_with_a_clip_that_is_gone(browser, runs) -> None:
    for run in runs:
        for path in (run / "clips").iterdir():
            path.unlink()
    with serving(*runs) as server:
        page, errors = opened(browser, server, "ann", 400, 850)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        playwright.expect(page.locator("#no-video")).to_contain_text("The texts can still be compared")
        picture(page, "compare-400")
        page.click("#second")
        saved(page)
        assert len(answered(runs)) == 1
        assert not errors


LATE = """
const real = window.fetch;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
window.fetch = async (path, ...rest) => {
  if (String(path).includes("/answer")) await pause(200);
  const answer = await real(path, ...rest);
  if (String(path).includes("/api/queue") && document.getElementById("progress").textContent) await pause(600);
  return answer;
};
"""


def test_a_count_from_before_an_answer_was_saved_is_not_shown(browser, tmp_path: Path) -> None:
    names = [f"clip_{number}" for number in range(3)]
    a = run_with(tmp_path / "old", {name: f"{WORSE} {name}" for name in names})
    b = run_with(tmp_path / "new", {name: f"{BETTER} {name}" for name in names})
    with serving(a, b, "--reviewer", "ann", "--again", "0") as server:
        page = browser.new_page()
        page.add_init_script(LATE)
        page.goto(server.address)
        playwright.expect(page.locator("#progress")).to_have_text("0 of 3 by you")
        page.keyboard.press("1")
        page.wait_for_timeout(1500)
        assert page.inner_text("#progress") == "1 of 3 by you"
