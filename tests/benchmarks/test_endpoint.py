"""`benchmarks.endpoint`: the service on an endpoint of known latency, and the three ways of one call."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.endpoint import endpoint, overheads, send_all, service


@pytest.mark.slow
def test_all_slots_of_an_endpoint_are_used() -> None:
    with endpoint(8, 0.4) as url, service(url, 8) as address:
        seconds = asyncio.run(send_all(address, 40, 8))
    assert 2.0 <= seconds < 4.0  # five rounds; one after the other they would take 16 s


@pytest.mark.slow
def test_each_way_is_measured() -> None:
    assert all(milliseconds > 0 for milliseconds in overheads(1, 5))
