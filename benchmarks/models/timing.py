"""Time and memory of repeated work, and rows for what does not fit into memory."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch

from benchmarks.models.rows import Row
from benchmarks.support.card import wait
from merrflow_serving.errors import TooLarge
from merrflow_serving.torch.lost import is_out_of_memory

R = TypeVar("R")
WARM_UP = -1  # the number of the round that is not timed


@dataclass(frozen=True)
class Timed(Generic[R]):
    """Some rounds of the same work."""

    rounds: int
    seconds: float  # of one round, on average
    peak_bytes: int  # the most memory used since the work began; 0 on a CPU
    first: R  # what round 0 returned


def timed(run: Callable[[int], R], *, seconds: float, device: torch.device) -> Timed[R]:
    """Rounds 0, 1, 2 ... of `run`, after a first one that is not timed, until `seconds` have passed; at least one."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    run(WARM_UP)
    wait(device)
    started = time.perf_counter()
    first = run(0)
    wait(device)
    rounds, passed = 1, time.perf_counter() - started
    while passed < seconds:
        run(rounds)
        wait(device)
        rounds, passed = rounds + 1, time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    return Timed(rounds, passed / rounds, peak, first)


def attempt(measure: Callable[[], list[Row]], blanks: list[Row]) -> list[Row]:
    """What `measure` returns; if the memory is too small, `blanks` with a note that says so."""
    problem = ""
    try:
        return measure()
    except TooLarge as error:
        problem = str(error)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    # After the handlers: until the error is gone, its traceback refers to the tensors that filled the memory.
    release()
    note = f"out of memory: {problem}" if problem else "out of memory"
    return [replace(blank, note=note) for blank in blanks]


def release() -> None:
    """Frees memory that nothing uses."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def split_note(batch: int, at_once: int) -> str:
    """The note of a row if the engine had too little memory for the whole batch."""
    return f"out of memory at {batch}: {at_once} at once" if at_once < batch else ""
