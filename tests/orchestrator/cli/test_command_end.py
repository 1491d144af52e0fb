"""The command ends, whatever still waits at the interpreter's end."""

from __future__ import annotations

import subprocess
import sys
import time

HANGS = """
import sys, threading, time
from merrflow.cli import entry
threading._register_atexit(lambda: time.sleep(120))  # as Prefect does where its server hangs
entry.EXIT_SECONDS = 0.5
sys.argv = ["merrflow", *sys.argv[1:]]
entry.main()
"""


def test_what_hangs_at_the_end_is_left_and_the_exit_code_stays():
    for arguments, code in ((["--help"], 0), (["run", "nowhere", "--out", "nowhere"], 2)):
        started = time.monotonic()
        ended = subprocess.run([sys.executable, "-c", HANGS, *arguments], capture_output=True, text=True, timeout=100)
        assert ended.returncode == code, ended.stderr
        assert time.monotonic() - started < 60
        assert ("Usage" in ended.stdout) == (code == 0)
