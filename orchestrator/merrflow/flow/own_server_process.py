"""The process of Prefect's own server (own_server.py): serves until nobody has used it for a while.

    python -m merrflow.flow.own_server_process LOCK LISTENING USERS IDLE

LOCK: the descriptor of the file whose lock this process holds as long as it lives. LISTENING: of its socket. USERS: the
file whose lock all its users share. IDLE: seconds.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import uvicorn

from merrflow_serving.parent import end

STOP_SECONDS = 5.0
_LOOK_SECONDS = 0.5


def main() -> None:
    """Blocks until it is idle, or until SIGTERM."""
    _lock, listening, users, idle = sys.argv[1:]  # the lock needs nothing but to stay open
    threading.Thread(target=_end_when_idle, args=(Path(users), float(idle)), daemon=True).start()
    config = uvicorn.Config("prefect.server.api.server:create_app", factory=True, log_level="error", lifespan="on")
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(listening))])


def _end_when_idle(users: Path, idle: float) -> None:
    """Ends the process once nobody has used it for that many seconds, or its folder was deleted."""
    with suppress(OSError), users.open("a") as file:
        unused_since = time.monotonic()
        while os.path.samestat(users.stat(), os.fstat(file.fileno())):
            time.sleep(_LOOK_SECONDS)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                unused_since = time.monotonic()
                continue
            if time.monotonic() - unused_since >= idle:
                end(STOP_SECONDS)
                return time.sleep(2 * STOP_SECONDS)  # with the lock: nobody may begin to use it now
            fcntl.flock(file, fcntl.LOCK_UN)
    end(STOP_SECONDS)


if __name__ == "__main__":
    main()
