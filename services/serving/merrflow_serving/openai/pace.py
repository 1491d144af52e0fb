"""When the next request may go out: a rate, and pauses that an endpoint asks for. Used on one event loop."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """Shared by all requests to an endpoint."""

    def __init__(self, per_minute: float) -> None:
        """per_minute: requests; 0 for no limit."""
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._free = 0.0  # monotonic time of the next turn that nobody has
        self._paused_until = 0.0

    async def turn(self, until: float) -> bool:
        """Waits for a turn. False, as soon as it is known, if it would come after `until` (monotonic)."""
        turn = max(time.monotonic(), self._free)
        if turn > until:
            return False
        self._free = turn + self._gap
        while (left := max(turn, self._paused_until) - time.monotonic()) > 0:
            if time.monotonic() + left > until:
                return False
            await asyncio.sleep(left)
        return True

    def pause(self, seconds: float) -> None:
        """Nobody's turn comes for so long."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)
