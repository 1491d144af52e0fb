"""The options of `merrflow run` for a GPU that cannot hold all models at once."""

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
        raise InputError(f"--gpu-sharing: {sharing!r} is unknown; the only value is sequential")
    if (memory or plan_only) and not sharing:
        raise InputError(f"{'--gpu-memory' if memory else '--plan-only'} needs --gpu-sharing sequential")
    if sharing and server:
        raise InputError(
            "--gpu-sharing starts and stops containers on this machine, but with --server the workers do the work: "
            "leave one of them out"
        )
    return {"gpu_sharing": sharing or "", "gpu_memory": parse_memory(memory) if memory else 0}


async def look_at_plan(request: Request) -> Table:
    """The plan of a run. Starts and stops nothing. Raises `InputError`."""
    return plan_table((await open_sharing(request.settings(), request.needed(), request.gpu_memory)).plan)
