"""Ports for what tests start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.ports import free_port

OTHER = """
import sys
from tests.ports import free_port
print(*(free_port() for _ in range(100)), flush=True)
sys.stdin.read()
"""
RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_a_port_is_given_once_also_to_other_processes():
    command, pipe = [sys.executable, "-c", OTHER], subprocess.PIPE
    others = [subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    given = [free_port() for _ in range(100)]
    for other in others:
        given += [int(port) for port in other.stdout.readline().split()]
    for other in others:
        other.communicate()
    assert len(given) == len(set(given)) == 300


@pytest.mark.skipif(not RANGE.exists(), reason="the kernel does not say what its ephemeral ports are")
def test_no_port_is_one_that_the_kernel_gives_to_others():
    low, high = map(int, RANGE.read_text().split())
    if low <= 10_000 and high >= 65_535:
        pytest.skip("all ports are ephemeral here")
    assert not [port for port in (free_port() for _ in range(50)) if low <= port <= high]
