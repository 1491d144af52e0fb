"""What holds for all tests."""

from __future__ import annotations

import grpc
import pytest


@pytest.fixture(scope="session", autouse=True)
def _grpc_stays_open():
    """Keeps grpc.aio's polling thread for the whole session.

    It ends with the last channel or server. Where the garbage collector frees that one, in whatever test it happens to
    run, it waits for the thread, and the thread for a call that nobody will answer.
    """
    grpc.aio.init_grpc_aio()
    yield
