"""The guard: nothing of OpenFace outlives the service, or the other way round."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from tests.services.openface_au.fake_openface import alive_below, digest, install
from tests.services.openface_au.videos import encode, noise


def hanging(tmp_path: Path) -> tuple[subprocess.Popen, Path]:
    """Another process with an engine whose OpenFace hangs, once it does."""
    clip = encode([noise()] * 3)
    (tmp_path / "clip.mp4").write_bytes(clip)
    binary = install(tmp_path / "bin", plan={digest(clip): {"do": "hang"}})
    folder = tmp_path / "tmp"
    folder.mkdir()
    code = f"""
        from pathlib import Path
        from merrflow_openface_au.engines.openface.engine import OpenFaceEngine
        from merrflow_openface_au.settings import OpenFaceAuSettings
        engine = OpenFaceEngine(OpenFaceAuSettings(openface_binary={str(binary)!r}, openface_folder={str(folder)!r}))
        engine.load()
        print(engine.run([Path({str(tmp_path / "clip.mp4")!r})]))
    """
    service = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    within(20, lambda: len(alive_below(folder)) >= 2 and any("sleep" in line for line in alive_below(folder)))
    return service, folder


def within(seconds: float, true) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not come to pass"
        time.sleep(0.05)


def test_nothing_outlives_a_service_that_is_killed(tmp_path) -> None:
    service, folder = hanging(tmp_path)
    service.kill()
    service.wait()
    service.stdout.close()
    within(5, lambda: not alive_below(folder) and not list(folder.iterdir()))


def test_openface_does_not_outlive_its_guard(tmp_path) -> None:
    service, folder = hanging(tmp_path)
    try:
        guards = [int(process.name) for process in Path("/proc").glob("[0-9]*") if parent(process) == str(service.pid)]
        assert len(guards) == 1
        os.kill(guards[0], signal.SIGKILL)
        out, _ = service.communicate(timeout=10)
        assert "EngineFault" in out  # the service itself goes on
        within(5, lambda: not [line for line in alive_below(folder) if "-out_dir" in line])
    finally:
        service.kill()
        for process in Path("/proc").glob("[0-9]*"):  # the fake's own child, which only the guard would find
            try:
                ours = str((process / "cwd").readlink()).startswith(str(folder))
                if ours and "time.sleep(600)" in (process / "cmdline").read_text():
                    os.kill(int(process.name), signal.SIGKILL)
            except OSError:
                continue


def parent(process: Path) -> str:
    """The number of a process's parent."""
    try:
        return (process / "stat").read_text().rsplit(")", 1)[1].split()[1]
    except OSError:
        return ""
