"""For engines that work on the items of a batch one after the other: an error in one does not reach the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from merrflow_serving.engine import Wanted
from merrflow_serving.errors import EngineFault, MerrflowError

Item = TypeVar("Item")
Result = TypeVar("Result")


def one_by_one(
    batch: Sequence[Item],
    work: Callable[[Item, Callable[[], bool]], Result | MerrflowError],
    wanted: Wanted,
    *,
    problem: str,
) -> list[Result | MerrflowError]:
    """What `work` returns or raises for each item, in order.

    work: called with an item and whether it is still wanted; raises `Abandoned` if it is not.
    problem: begins the message of the `EngineFault` that any other exception becomes, such as "the video could not be
    measured".
    """
    return [_result_or_error(work, item, partial(wanted, place), problem) for place, item in enumerate(batch)]


def _result_or_error(
    work: Callable[[Item, Callable[[], bool]], Result | MerrflowError],
    item: Item,
    is_wanted: Callable[[], bool],
    problem: str,
) -> Result | MerrflowError:
    try:
        return work(item, is_wanted)
    except MerrflowError as error:
        return error
    except Exception as error:
        fault = EngineFault(f"{problem}: {type(error).__name__}: {error}")
        fault.__cause__ = error
        return fault
