"""Which services share a phase."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from merrflow.core.errors import InputError
from merrflow.pipeline.gpu_phases.plan import GIB, Model, make_plan, parse_memory
from merrflow_serving.catalog import SERVICES


@st.composite
def models(draw) -> list[Model]:
    found = []
    for name in SERVICES:
        least = draw(st.integers(0, 40)) * GIB
        found.append(Model(name, least, least + draw(st.integers(0, 40)) * GIB if least else 0))
    return found


def fewest(sizes: list[int], limit: int) -> int:
    """The least number of runs of neighbours within the limit, by trying every cut."""
    best = len(sizes) or 1
    for cuts in range(1 << max(0, len(sizes) - 1)):
        groups = [[sizes[0]]] if sizes else [[]]
        for place, size in enumerate(sizes[1:]):
            groups.append([size]) if cuts >> place & 1 else groups[-1].append(size)
        if all(len(group) == 1 or sum(group) <= limit for group in groups):
            best = min(best, len(groups))
    return best


@given(models(), st.integers(1, 120))
def test_every_service_once_in_order_within_the_limit_and_no_phase_too_many(found, memory):
    limit = memory * GIB - GIB // 2
    if any(one.full and one.least > limit for one in found):
        with pytest.raises(InputError, match="needs .* of GPU memory by itself"):
            make_plan(found, memory * GIB)
        return
    plan = make_plan(found, memory * GIB)
    assert plan.limit == limit
    assert plan.on_gpu == tuple(one.service for one in found if one.full), "each once, in order"
    assert plan.throughout == tuple(one.service for one in found if not one.full)
    full = {one.service: one.full for one in found}
    for phase in plan.phases:
        assert phase.bytes <= limit
        assert len(phase.services) < 2 or sum(full[name] for name in phase.services) == phase.bytes
    assert len(plan.phases) == fewest([one.full for one in found if one.full], limit)


def test_one_that_fits_with_a_smaller_batch_only_is_alone():
    plan = make_plan([Model("minigpt-v2", 16 * GIB, 20 * GIB), Model("qwen-audio", 1 * GIB, 40 * GIB)], 24 * GIB)
    assert [phase.services for phase in plan.phases] == [("minigpt-v2",), ("qwen-audio",)]
    assert plan.phases[1].bytes == plan.limit == 24 * GIB - GIB // 2


def test_without_a_gpu_there_is_one_phase_for_all():
    plan = make_plan([Model(name, 0, 0) for name in SERVICES], 0)
    assert plan.throughout == tuple(SERVICES) and [phase.services for phase in plan.phases] == [()]


@pytest.mark.parametrize(
    ("text", "size"),
    [("24GiB", 24 << 30), ("24g", 24 << 30), ("24564MiB", 24564 << 20), ("1.5 GB", 3 << 29), ("1000", 1000)],
)
def test_memory_is_read_as_people_write_it(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "0", "24 cards", "24GiBB"])
def test_what_is_no_memory_is_refused(text):
    with pytest.raises(InputError, match="give it as 24GiB"):
        parse_memory(text)
