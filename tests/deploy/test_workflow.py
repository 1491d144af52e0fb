"""The workflow that builds, pushes and signs images: its scripts, with stand-ins for those that need a registry."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from merrflow_serving.catalog import SERVICES
from tests.deploy.stack import ROOT, defaults

WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/images.yml").read_text())
JOB = WORKFLOW["jobs"]["images"]
ROWS = {row["name"]: row for row in JOB["strategy"]["matrix"]["include"]}


def run(step: str, row: str, folder: Path, publish: str = "true", **environment: str) -> subprocess.CompletedProcess:
    """A step of the job for a row of its matrix, in `folder`, where each script of deploy/ notes what it is given."""
    (folder / "deploy").mkdir(exist_ok=True)
    shutil.copy(ROOT / ".env", folder)
    for name in ("pin-images", "build-images", "publish-images"):
        script = folder / f"deploy/{name}.sh"
        words = '"$(basename "$0")" "$@" "EXTRAS=$EXTRAS" "${LLAMA3_GPU_IMAGE-}"'
        script.write_text(f"#!/bin/bash\necho {words} >>calls\n{publish if name.startswith('publish') else ''}\n")
        script.chmod(0o755)
    values = ROWS[row]
    given = {"EXTRAS": values["extras"], "TORCH_CUDA": values["cuda"], "IMAGES": values["images"]}
    given |= {"SUFFIX": values["suffix"], "REGISTRY": "ghcr.io/Owner/merrflow", "PATH": os.environ["PATH"]}
    given |= {"GITHUB_ENV": "env", "GITHUB_STEP_SUMMARY": "summary", "GITHUB_REF_TYPE": "branch"} | environment
    text = next(one["run"] for one in JOB["steps"] if one.get("name") == step)
    assert WORKFLOW["defaults"]["run"]["shell"] == "bash", "which sets pipefail; without it GitHub's does not"
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text]
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True)


@pytest.mark.parametrize("row", ROWS)
def test_each_row_builds_and_publishes_images_that_env_has_a_variable_for(row: str, tmp_path: Path) -> None:
    assert run("Build", row, tmp_path).returncode == 0
    named = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().split()) if ROWS[row]["images"] else {}
    assert run("Push and sign", row, tmp_path, **named).returncode == 0
    *_, published = (tmp_path / "calls").read_text().splitlines()
    variables = {word for word in published.split() if word.endswith("_IMAGE")}
    assert variables <= set(defaults()) and "ghcr.io/owner/merrflow" in published
    assert variables == (
        set(named) or {f"{name.upper().replace('-', '_')}_IMAGE" for name in (*SERVICES, "orchestrator")}
    )


def test_a_push_that_fails_fails_the_job(tmp_path: Path) -> None:
    assert run("Push and sign", "embedded", tmp_path, publish="exit 3").returncode == 3


def test_a_tag_of_another_version_builds_nothing(tmp_path: Path) -> None:
    own = f"v{defaults()['VERSION']}"
    assert run("Build", "embedded", tmp_path, GITHUB_REF_TYPE="tag", GITHUB_REF_NAME=own).returncode == 0
    (tmp_path / "calls").unlink()
    ended = run("Build", "embedded", tmp_path, GITHUB_REF_TYPE="tag", GITHUB_REF_NAME="v9.9.9")
    assert ended.returncode == 1 and "v9.9.9" in ended.stderr and not (tmp_path / "calls").exists()
