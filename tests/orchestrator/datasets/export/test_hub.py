"""`merrflow export --push`, from the command line to a hub that stands in for Hugging Face's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.forks import merrflow
from tests.orchestrator.datasets.export.hub_server import Hub, running_hub
from tests.orchestrator.datasets.report.runs import many, record, run


def push(hub: Hub, out: Path, *arguments: str, format: str = "huggingface") -> subprocess.CompletedProcess[str]:
    surroundings: dict[str, str | None] = {name: None for name in os.environ if name.startswith("HF_")}
    surroundings |= {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_secret", "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(out)}
    return merrflow("export", "--out", out, "--format", format, *arguments, variables=surroundings)


def written(folder: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: data for name, data in files.items() if not name.startswith(".")}


def test_the_dataset_and_its_card_come_there_as_written(tmp_path: Path) -> None:
    run(tmp_path, many(5)).close()
    with running_hub() as hub:
        hub.files = {"data/train-00000-of-00002.parquet": b"of an earlier export", ".gitattributes": b"theirs"}
        done = push(hub, tmp_path, "--push", "alice/set", "--split", "test=0.4")
        assert done.returncode == 0, done.stderr
        assert f"uploaded: {hub.url}/datasets/alice/set/commit/" in done.stdout
        assert hub.files == written(tmp_path / "export" / "huggingface") | {".gitattributes": b"theirs"}
        assert hub.private == [True] and hub.commits == 1


def test_a_hub_that_refuses_leaves_the_export_and_says_so(tmp_path: Path) -> None:
    run(tmp_path, [record("a")]).close()
    with running_hub() as hub:
        hub.full = True
        done = push(hub, tmp_path, "--push", "alice/set", format="webdataset")
    assert done.returncode == 2 and "hf_secret" not in done.stderr
    last = done.stderr.splitlines()[-1]  # after the progress of the upload
    assert last.startswith(f"merrflow: --push alice/set: {hub.url} does not take it (Server error '507")
    assert (tmp_path / "export" / "webdataset" / "README.md").is_file()


@pytest.mark.parametrize(
    ("format", "repository", "said"),
    [
        ("csv", "alice/set", "formats that have one: huggingface, webdataset"),
        ("huggingface", "a b/../c", "such as alice"),
    ],
)
def test_what_cannot_be_uploaded_is_not_exported(tmp_path: Path, format: str, repository: str, said: str) -> None:
    run(tmp_path, [record("a")]).close()
    with running_hub() as hub:
        done = push(hub, tmp_path, "--push", repository, format=format)
    assert done.returncode == 2 and said in done.stderr
    assert not (tmp_path / "export").exists() and not hub.private
