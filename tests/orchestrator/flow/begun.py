"""Runs that are stopped in the middle."""

from __future__ import annotations

import asyncio

from merrflow.datasets.outputs import Summary
from merrflow.flow.run import annotate_request
from merrflow.pipeline.request import Request


async def begun(request: Request) -> asyncio.Task[Summary]:
    """A run that goes on, once its first clip is at its outcome."""
    first = asyncio.Event()
    going = asyncio.create_task(
        annotate_request(
            request,
            on_start=lambda session: session.clip_finished.connect(lambda name, outcome: first.set()),
        )
    )
    await first.wait()
    return going
