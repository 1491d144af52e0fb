"""The options of `merrflow run` for one GPU that is too small for all models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from merrflow.core.errors import InputError
from merrflow.pipeline.gpu_phases import open_sharing, parse_memory
from merrflow.pipeline.gpu_phases.show import plan_table

if TYPE_CHECKING:
    from rich.table import Table

    from merrflow.pipeline.request import Request


def gpu_options(sharing: str | None, memory: str | None, *, plan_only: bool, server: bool) -> dict[str, Any]:
    """`Request`'s fields. Raises `InputError`."""
    if sharing not in (None, "sequential"):
        raise InputError(f"--gpu-sharing: {sharing!r} is none of its ways; there is: sequential")
    if (memory or plan_only) and not sharing:
        raise InputError(f"{'--gpu-memory' if memory else '--plan-only'} goes with --gpu-sharing sequential")
    if sharing and server:
        raise InputError(
            "--gpu-sharing starts and stops the containers of this machine, and with --server others do the work: "
            "leave one of them out"
        )
    return {"gpu_sharing": sharing or "", "gpu_memory": parse_memory(memory) if memory else 0}


async def look_at_plan(request: Request) -> Table:
    """The plan of a run, without starting or stopping anything. Raises `InputError`."""
    return plan_table((await open_sharing(request.settings(), request.needed(), request.gpu_memory)).plan)
