"""The stream that says that somebody said something."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from merrflow.datasets.review.news import news
from merrflow.store import Ledger
from tests.orchestrator.datasets.review.runs import reviewable, say
from tests.orchestrator.datasets.review.servers import Server, serving


def test_it_speaks_at_once_at_a_change_and_now_and_then_until_the_end() -> None:
    versions = [7]

    async def heard() -> list[tuple[str, float]]:
        ending, started, found = asyncio.Event(), time.monotonic(), []
        async for event in news(lambda: versions[-1], ending, look=0.02, still_here=0.3):
            found.append((event, time.monotonic() - started))
            if len(found) == 1:
                versions.append(9)
            if len(found) == 3:
                ending.set()
        return found

    found = asyncio.run(heard())
    assert [event for event, _ in found] == ["data: 7\n\n", "data: 9\n\n", "data: 9\n\n"]
    assert found[2][1] - found[1][1] >= 0.29


@pytest.fixture
def server(tmp_path: Path):
    reviewable(tmp_path).close()
    with serving(tmp_path, "review") as server:
        yield server


def connections(server: Server) -> int:
    """Sockets that the server's process has open."""
    found = 0
    for one in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            found += os.readlink(one).startswith("socket:")
    return found


def streams(server: Server, number: int):
    client = httpx.Client(trust_env=False, timeout=10)
    return client, [
        client.send(client.build_request("GET", f"{server.address}api/news"), stream=True) for _ in range(number)
    ]


def test_another_process_is_heard_pages_that_go_leave_nothing_and_sigterm_ends_at_once(
    server: Server, tmp_path: Path
) -> None:
    before = connections(server)
    client, pages = streams(server, 20)
    assert pages[0].headers["content-type"].startswith("text/event-stream")
    assert pages[0].headers["cache-control"] == "no-store"
    events = pages[0].iter_lines()
    assert next(events) == "data: 0"
    ledger = Ledger.in_folder(tmp_path)
    row = say(ledger, "clip_001", label="sad")
    ledger.close()
    said = time.monotonic()
    assert next(one for one in events if one.startswith("data:") and one != "data: 0") == f"data: {row.id}"
    assert time.monotonic() - said < 5
    assert connections(server) >= before + 19  # that of the first look may have gone meanwhile
    for page in pages[:19]:
        page.close()
    client.close()
    deadline = time.monotonic() + 20
    while connections(server) > before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert connections(server) <= before
    client, pages = streams(server, 5)
    assert all(next(page.iter_lines()) for page in pages)
    started = time.monotonic()
    assert server.end(signal.SIGTERM) in (0, 143, -signal.SIGTERM)
    assert time.monotonic() - started < 2.5  # answers on their way get 3 seconds
    client.close()
