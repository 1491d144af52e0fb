"""The entry point of the command `merrflow`: exit codes, errors in one line, and an end in time."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from typing import Any

from merrflow.cli.app import UNFINISHED, app
from merrflow.cli.terminal import error_console
from merrflow.core.errors import InputError
from merrflow_serving.errors import MerrflowError

UNUSABLE = 2  # exit code for unusable arguments
INTERRUPTED = 130
TERMINATED = 143
EXIT_SECONDS = 15.0  # for what Prefect has left to send
_STOPPED = "stopped; run the same command again to continue"


def main() -> Any:
    """The command's entry point. Reports an error in one line."""
    # A dataset is hundreds of thousands of small objects that stay; with the usual thresholds, each collection walks
    # all of them.
    gc.set_threshold(50_000, 20, 50)
    try:
        code = app(standalone_mode=False) or 0  # the exit code of a command's typer.Exit
        message = _STOPPED if code == INTERRUPTED else ""  # typer turns Ctrl-C into an exit code
    except InputError as error:
        code, message = UNUSABLE, str(error)
    except MerrflowError as error:
        code, message = UNFINISHED, f"{error} [{error.reason}]"
    except (KeyboardInterrupt, asyncio.CancelledError):
        code, message = INTERRUPTED, _STOPPED
    except BaseException as error:
        if hasattr(error, "format_message"):  # click's own, such as a wrong option or a missing argument
            code, message = UNUSABLE, error.format_message() or "see merrflow --help"
        elif type(error).__name__ == "TerminationSignal":  # what Prefect turns SIGTERM into
            code, message = TERMINATED, _STOPPED
        else:
            raise
    if message:
        error_console().print(f"merrflow: {message}", style="red", markup=False, soft_wrap=True)
    _end_within(EXIT_SECONDS, code)
    sys.exit(code)


def _end_within(seconds: float, code: int) -> None:
    """Ends the process by then, whatever still waits: when the interpreter exits, Prefect sends its last events,
    without a time limit if its server hangs. merrflow's own files and services are closed by now."""
    sys.stdout.flush()
    last = threading.Timer(seconds, os._exit, (code,))
    last.daemon = True
    last.start()
