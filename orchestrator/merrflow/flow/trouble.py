"""What is wrong with a Prefect server, in a few words of a message."""

from __future__ import annotations

import httpx


class PrefectServerFailed(RuntimeError):
    """Prefect's own server did not start; the message says why."""


def trouble(error: BaseException) -> str:
    """Such as "it answers 500" or "ConnectError"."""
    if isinstance(error, PrefectServerFailed):
        return str(error)
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answers {error.response.status_code}"
    return type(error).__name__


def may_pass(error: httpx.HTTPError) -> bool:
    """Whether the same request may succeed later: the server is away, or has a fault of its own."""
    return not isinstance(error, httpx.HTTPStatusError) or error.response.is_server_error
