"""A batch that is worked on item by item: each error stays with its own item."""

from __future__ import annotations

from collections.abc import Callable

from merrflow_serving.errors import Abandoned, EngineFault, InvalidInput, MerrflowError
from merrflow_serving.one_by_one import one_by_one


def divide(item: int, is_wanted: Callable[[], bool]) -> int | MerrflowError:
    if item < 0:
        raise InvalidInput("negative")
    return 12 // item if item < 10 else InvalidInput("large")


def test_each_item_gets_its_result_or_its_error():
    good, broken, refused, returned, last = one_by_one(
        [3, 0, -1, 10, 4], divide, lambda place: True, problem="no quotient"
    )
    assert (good, last) == (4, 3)
    assert isinstance(broken, EngineFault) and isinstance(broken.__cause__, ZeroDivisionError)
    assert str(broken).startswith("no quotient: ZeroDivisionError: ")
    assert isinstance(refused, InvalidInput) and str(refused) == "negative"
    assert isinstance(returned, InvalidInput) and str(returned) == "large"


def test_each_item_is_asked_for_by_itself():
    def work(item: int, is_wanted: Callable[[], bool]) -> int:
        if not is_wanted():
            raise Abandoned
        return item

    first, second, third = one_by_one([7, 8, 9], work, lambda place: place != 1, problem="")
    assert (first, third) == (7, 9) and isinstance(second, Abandoned)
