"""`merrflow worker` before it has a server."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COMMAND = [sys.executable, "-c", "from merrflow.cli import main; main()", "worker"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--out", "/proc/dataset"), "--out /proc/dataset: /proc cannot be written to"),
        (("--reports-host", "0.0.0.0"), "--reports-host 0.0.0.0: other machines could see faces"),
        (("--reports-tls-cert", "c.pem"), "give both or neither"),
    ],
)
def test_what_cannot_work_ends_it_at_once_with_one_line(options, said):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "MERRFLOW"))}
    environment |= {"PREFECT_API_URL": "http://127.0.0.1:9/api", "MERRFLOW_REPORTS_URL": "https://reports.example"}
    ended = subprocess.run([*COMMAND, *options], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert ended.stderr.startswith("merrflow: ") and said in ended.stderr and ended.stderr.count("\n") == 1
    assert ended.stdout == ""
