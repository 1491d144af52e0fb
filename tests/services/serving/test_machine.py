"""What a container may use of its machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from merrflow_serving import machine

OWN = len(os.sched_getaffinity(0))


@pytest.fixture
def cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "expected"), [("max 100000", OWN), ("100000 100000", 1), ("20000 100000", 1), ("garbage", OWN)]
)
def test_cores_by_quota(cgroup: Path, text: str, expected: int) -> None:
    assert machine.cores() == OWN
    (cgroup / "cpu.max").write_text(text)
    assert machine.cores() == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1", OWN), ("100000", 1), ("", OWN)])
def test_cores_by_the_older_quota(cgroup: Path, quota: str, expected: int) -> None:
    (cgroup / "cpu").mkdir()
    (cgroup / "cpu/cpu.cfs_quota_us").write_text(quota)
    (cgroup / "cpu/cpu.cfs_period_us").write_text("100000")
    assert machine.cores() == expected


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", 2), ("100000 100000", 1), ("800000 100000", 2)])
def test_the_hardware_threads_of_a_core_count_once(
    cgroup: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    monkeypatch.setattr(machine, "CPUS", cgroup)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert machine.physical_cores() == 4  # a machine that does not say which belong together
    for cpu in range(4):
        (cgroup / f"cpu{cpu}/topology").mkdir(parents=True)
        (cgroup / f"cpu{cpu}/topology/thread_siblings_list").write_text(f"{cpu % 2},{cpu % 2 + 2}\n")
    (cgroup / "cpu.max").write_text(quota)
    assert machine.physical_cores() == expected


def test_a_containers_limit_counts(cgroup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PROC", cgroup)
    assert machine.host_memory().total_bytes == 0
    (cgroup / "self").mkdir()
    (cgroup / "self/status").write_text("Name:\tpython\nVmHWM:\t    3000 kB\nVmRSS:\t    2000 kB\nThreads:\t4\n")
    (cgroup / "meminfo").write_text("MemTotal:  16000 kB\nMemAvailable:  9000 kB\n")
    free = machine.Memory(2000 << 10, 16000 << 10, 3000 << 10, 9000 << 10)
    assert machine.host_memory() == free
    (cgroup / "memory.max").write_text("8192000\n")
    (cgroup / "memory.current").write_text("8000000\n")
    assert machine.host_memory() == machine.Memory(2000 << 10, 8192000, 3000 << 10, 192000)
    (cgroup / "memory.max").write_text("max\n")
    assert machine.host_memory() == free
    (cgroup / "memory").mkdir()
    (cgroup / "memory/memory.limit_in_bytes").write_text("4096000\n")
    (cgroup / "memory/memory.usage_in_bytes").write_text("96000\n")
    assert (machine.host_memory().total_bytes, machine.host_memory().free_bytes) == (4096000, 4000000)
