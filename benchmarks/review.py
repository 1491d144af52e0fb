"""How fast the page of `merrflow review` lists, sorts and filters.

    python -m benchmarks.review [--records 28000] [--browser]

A made-up dataset with a verdict of one reviewer on every second record. Times are of whole answers, as JSON, through
the application and its guard, but not over a socket. --browser: also from a choice of a filter until Chromium has the
rows, over a real socket; needs Playwright and a Chromium. Prints milliseconds as JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from benchmarks.support.made_up_dataset import fill, fixed, keys_for, make_clips
from merrflow.datasets.review.app import review_app
from merrflow.datasets.review.desk import Desk
from merrflow.datasets.review.guard import Guard
from merrflow.datasets.review.server import Listen, serve
from merrflow.datasets.review.verdicts import Said
from merrflow.store import Ledger, VerdictRow
from merrflow_serving.credentials import Tokens

HOST = "127.0.0.1:4210"
QUERIES: dict[str, dict[str, Any]] = {
    "all": {},
    "by name": {"sort": "name"},
    "label": {"label": "sad"},
    "witnesses disagree": {"disagree": True},
    "not yet said by me": {"mine": "open"},
    "part of a name": {"text": "_01"},
    "blind": {"blind": True},
}
REPEATS = 5


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=28_000)
    parser.add_argument("--browser", action="store_true")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        make_clips(Path(folder) / "clips", options.records)
        fill(out, Path(folder) / "clips", keys_for(fixed()), finished=options.records, share=1.0)
        ledger = Ledger.in_folder(out)
        started = time.perf_counter()
        desk = Desk(ledger, out)
        found: dict[str, Any] = {"records": options.records, "reading_seconds": time.perf_counter() - started}
        found["verdict"] = spread(verdicts(ledger))
        page = TestClient(Guard(review_app(desk), (HOST,), Tokens(()), False), base_url=f"http://{HOST}")
        page.get("/api/progress", params={"reviewer": "ann"})  # reads what was said so far, once
        for name, query in QUERIES.items():
            found[name] = spread([timed(partial(ask, page, query, n)) for n in range(REPEATS)])
        found["scroll"] = spread([timed(partial(ask, page, {}, 0, offset=n)) for n in range(0, options.records, 997)])
        if options.browser:
            found["browser"] = in_browser(desk)
        ledger.close()
    print(json.dumps(found))


def ask(page: TestClient, query: dict[str, Any], number: int, **more: int) -> None:
    """A different limit each time, so that no kept list answers."""
    answer = page.get("/api/clips", params={"reviewer": "ann", **query, "as_of": 1_000_000 + number, **more})
    answer.raise_for_status()


def verdicts(ledger: Ledger) -> list[float]:
    """Milliseconds until each is committed."""
    found = []
    for number, row in enumerate(ledger.clips()[:2000:2]):
        said = Said(label="sad").model_dump_json()
        verdict = VerdictRow(row.clip.name, row.clip.sha256, "ann", "keep", said, f"key-{number}")
        found.append(timed(partial(ledger.say, verdict)))
    return found


def timed(work: Callable[[], object]) -> float:
    """Milliseconds."""
    started = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - started)


def spread(times: list[float]) -> dict[str, float]:
    return {"median": round(statistics.median(times), 1), "most": round(max(times), 1)}


def in_browser(desk: Desk) -> dict[str, Any]:
    """Milliseconds from the choice of a filter, or a jump of the list, until its rows are there."""
    import shutil

    from playwright.sync_api import sync_playwright

    address: list[str] = []
    ready = threading.Event()

    def say(text: str) -> None:
        address.append(text)
        ready.set()

    threading.Thread(target=serve, args=(desk, Listen(port=0), say), kwargs={"reviewer": "ann"}, daemon=True).start()
    ready.wait(30)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(address[0])
        page.wait_for_selector(".row[data-id]")
        page.wait_for_timeout(2000)
        filters, jumps = [], []
        for label in ("sad", "happy", "", "angry", ""):
            page.select_option("#label", label)
            page.wait_for_timeout(1000)
            filters.append(float(page.evaluate("document.getElementById('found').dataset.milliseconds")))
        for number in range(20):
            jumps.append(
                page.evaluate(
                    """async (share) => {
                        const list = document.getElementById("list"), started = performance.now();
                        list.scrollTop = share * list.scrollHeight;
                        do await new Promise(requestAnimationFrame);
                        while ([...document.querySelectorAll(".row")].some((row) => !row.dataset.id));
                        return performance.now() - started;
                    }""",
                    (number * 7 % 20) / 20,
                )
            )
        browser.close()
    return {"filter": spread(filters), "jump": spread(jumps)}


if __name__ == "__main__":
    main()
