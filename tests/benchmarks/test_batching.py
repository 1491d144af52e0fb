"""`benchmarks.batching`: a real service of a known pace, measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.batching import ceiling, measure, summed
from benchmarks.support.fixed_services import Pace, fixed_services


def test_no_batch_is_larger_than_there_are_clients() -> None:
    pace = Pace(0.2, 16)
    assert [ceiling(pace, clients) for clients in (1, 8, 16, 64)] == [5.0, 40.0, 80.0, 80.0]


def test_a_round_is_summed_up() -> None:
    found = summed(Pace(0.5, 4), 8, 10.0, [0.5] * 39 + [2.0], [4] * 32 + [2] * 8, refused=3)
    assert (found.rate, found.of_ceiling) == (4.0, 0.5)
    assert found.p50 == 0.5 and found.p99 > 1.0
    assert found.mean_batch == pytest.approx(40 / 12)  # eight batches of four and four of two
    assert found.refused == 3


async def test_a_service_of_a_known_pace(tmp_path: Path) -> None:
    pace = Pace(0.1, 4)
    with fixed_services(tmp_path, {"minigpt-v2": pace}) as running:
        found = await measure(running["minigpt-v2"].address, pace, 12, 1.5)
        noted = running["minigpt-v2"].stop()
    assert 0.2 < found.of_ceiling <= 1.05
    assert found.p50 >= 0.1
    assert noted.items >= found.rate * 1.4
    assert 0 < noted.share_of_ceiling(pace) <= 1.0
