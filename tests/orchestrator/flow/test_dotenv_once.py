"""A `.env` in the working folder: Prefect's settings in it count, and it is parsed a few times rather than hundreds."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from dotenv import dotenv_values

import merrflow.flow  # noqa: F401

READ = """
import json
import dotenv.main
parsed, parse = [], dotenv.main.DotEnv.dict
dotenv.main.DotEnv.dict = lambda self: parsed.append(1) or parse(self)
import merrflow.flow
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_LEVEL, temporary_settings
with temporary_settings(updates={PREFECT_LOGGING_LEVEL: "ERROR"}):
    print(json.dumps([len(parsed), PREFECT_API_URL.value(), PREFECT_LOGGING_LEVEL.value()]))
"""


def test_prefects_settings_in_it_count_and_it_is_parsed_a_few_times(tmp_path):
    (tmp_path / ".env").write_text("PREFECT_PORT=4200\nPREFECT_API_URL=http://127.0.0.1:4210/api\nOUT=out\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    environment["PREFECT_HOME"] = str(tmp_path / "prefect")
    ran = subprocess.run([sys.executable, "-c", READ], cwd=tmp_path, env=environment, capture_output=True, check=True)
    parsed, url, level = json.loads(ran.stdout)
    assert (url, level) == ("http://127.0.0.1:4210/api", "ERROR")
    assert parsed <= 4, "486 without it"


def test_a_file_that_changes_is_read_again_and_each_has_a_copy_of_its_own(tmp_path):
    file = tmp_path / ".env"
    file.write_text("A=1\n")
    first = dotenv_values(file)
    first["A"] = "another's"
    assert dotenv_values(file) == {"A": "1"}
    file.write_text("A=2\nB=3\n")
    assert dotenv_values(file) == {"A": "2", "B": "3"}
    file.unlink()
    assert dotenv_values(file) == {}
