"""Keeps mediapipe's native start-up messages off standard error.

The library writes them from C++ before its log level can be set, and exports nothing to set it with.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

# absl's "W0000 00:00:1795392597.174373 10757 face_landmarker_graph.cc:174] ..." and its relatives.
CHATTER = re.compile(
    rb"^[IW]\d{4} \d\d:\d\d:[\d.]+ +\d+ [\w./]+:\d+\] |"
    rb"^WARNING: All log messages before absl::InitializeLog|"
    rb"^INFO: Created TensorFlow Lite"
)


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Inside the block, drops native information and warnings; everything else is written at its end."""
    sys.stderr.flush()
    try:
        keep = os.dup(2)
    except OSError:  # a daemon without standard error
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(keep, 2)
            os.close(keep)
            held.seek(0)
            rest = b"".join(line for line in held if not CHATTER.match(line))
            if rest:
                os.write(2, rest)
