"""Where services that run for a single command write their logs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from merrflow_serving.errors import MerrflowError
from merrflow_serving.private_folder import PrivateFolder


@contextmanager
def log_folder() -> Iterator[Path]:
    """A private folder, removed at the end.

    After an error whose reason is in the logs it stays, and the error names it; a later command removes it.
    """
    folder = PrivateFolder("logs")
    try:
        yield folder.path
    except MerrflowError as error:
        if str(folder.path) in str(error):
            raise
        if error.code is grpc.StatusCode.INTERNAL:
            raise MerrflowError(f"{error}; logs: {folder.path}", reason=error.reason, code=error.code) from error
        folder.close()
        raise
    except BaseException:
        folder.close()
        raise
    folder.close()
