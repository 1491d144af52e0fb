"""Label Studio itself: a project of an export, a clip as its player fetches it, an answer there, and back.

python -m venv ls && ls/bin/pip install label-studio
MERRFLOW_TEST_LABEL_STUDIO=ls make test-all PYTEST=tests/orchestrator/datasets/imports
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from merrflow.datasets.entries import entries
from merrflow.datasets.export.export import export
from merrflow.datasets.imports.take import take
from tests.orchestrator.datasets.review.runs import CLIP, reviewable
from tests.ports import free_port

VENV = os.environ.get("MERRFLOW_TEST_LABEL_STUDIO", "")
COMMAND = Path(VENV or "none").absolute() / "bin/label-studio"
TOKEN = "0123456789abcdef" * 2 + "01234567"
TEXT = 'She says "yes",\nand her voice breaks.'
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not COMMAND.is_file(),
        reason="MERRFLOW_TEST_LABEL_STUDIO names no virtual environment with label-studio",
    ),
]


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """OUT/export/labelstudio of a run of three clips, as films."""
    ledger = reviewable(tmp_path / "out", video=True)
    folder = export(ledger, tmp_path / "out", "labelstudio", options={"video": "true"}).folder
    ledger.close()
    return folder


@pytest.fixture
def studio(exported: Path, tmp_path: Path) -> Iterator[httpx.Client]:
    """Label Studio at its first start, which serves the export's files."""
    port = free_port()
    variables = os.environ | {
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(exported),
        "COLLECT_ANALYTICS": "False",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    command = [str(COMMAND), "start", "--no-browser", "--init", "--data-dir", str(tmp_path / "studio")]
    command += ["--port", str(port), "--internal-host", "127.0.0.1", "--log-level", "WARNING"]
    command += ["--username", "ann@example.org", "--password", "a-long-password", "--user-token", TOKEN]
    command += ["--enable-legacy-api-token"]
    (tmp_path / "studio").mkdir()
    with (tmp_path / "studio.log").open("wb") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log, start_new_session=True)
    address, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Token {TOKEN}"}
    try:
        with httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=60) as client:
            for _ in range(1500):  # its first start makes a database
                try:
                    client.get("/health").raise_for_status()
                    break
                except httpx.HTTPError:
                    assert process.poll() is None, (tmp_path / "studio.log").read_text()
                    time.sleep(0.2)
            yield client
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def project(studio: httpx.Client, exported: Path) -> tuple[int, list[dict]]:
    """A project with the export's interface, files and tasks."""
    made = studio.post("/api/projects", json={"title": "merr", "label_config": (exported / "config.xml").read_text()})
    number = made.raise_for_status().json()["id"]
    place = {"project": number, "path": str(exported / "videos"), "use_blob_urls": True, "title": "clips"}
    studio.post("/api/storages/localfiles", json=place).raise_for_status()
    tasks = json.loads((exported / "tasks.json").read_text())
    counts = studio.post(f"/api/projects/{number}/import", json=tasks).raise_for_status().json()
    assert (counts["task_count"], counts["prediction_count"]) == (3, 3)
    found = studio.get("/api/tasks", params={"project": number, "fields": "all"}).raise_for_status().json()
    return number, sorted(found["tasks"], key=lambda task: task["data"]["name"])


def said(label: str, text: str) -> dict:
    values = (("emotion", "choices", {"choices": [label]}), ("description", "textarea", {"text": [text]}))
    return {
        "result": [
            {"from_name": name, "to_name": "video", "type": kind, "value": value} for name, kind, value in values
        ]
    }


def test_out_to_label_studio_and_back(studio: httpx.Client, exported: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    number, tasks = project(studio, exported)
    piece = studio.get(tasks[0]["data"]["video"], headers={"Range": "bytes=1000-1999"})
    assert (piece.status_code, piece.content) == (206, CLIP.read_bytes()[1000:2000])
    assert tasks[0]["predictions"][0]["result"][0]["value"] == {"choices": ["happy"]}
    given = studio.post(f"/api/tasks/{tasks[0]['id']}/annotations", json=said("sad", TEXT)).raise_for_status().json()
    cancelled = {"result": [], "was_cancelled": True}
    studio.post(f"/api/tasks/{tasks[1]['id']}/annotations", json=cancelled).raise_for_status()

    def exports(added: int, skipped: int = 1) -> None:
        for place, dialect in enumerate(("JSON", "JSON_MIN", "CSV", "TSV")):
            answer = studio.get(
                f"/api/projects/{number}/export", params={"exportType": dialect, "download_all_tasks": "true"}
            )
            file = tmp_path / f"export.{dialect}"
            file.write_bytes(answer.raise_for_status().content)
            ledger = existing(out)
            found = take(ledger, out, "labelstudio", file, ("1=ann@example.org",))
            ledger.close()
            assert (found.added, found.refused) == (0 if place else added, ())
            assert len(found.skipped) == (skipped if dialect == "JSON" else 0)  # the others leave them out

    exports(1)
    exports(0)
    record, text = first(out)
    assert (record.label.label, record.label.source, text) == ("sad", "human", TEXT)
    assert record.origins["reasoning"].engine == "human"
    changed = studio.patch(f"/api/annotations/{given['id']}/", json=said("fear", TEXT))
    changed.raise_for_status()
    exports(1)
    assert first(out)[0].label.label == "fear"
    ledger = existing(out)
    done = export(ledger, out, "merr")
    ledger.close()
    merr = json.loads((done.folder / "MERR_fine_grained.json").read_text())
    assert (merr["clip_000"]["pseu_emotion"], merr["clip_000"]["smp_reason_caption"]) == ("fear", TEXT)


def existing(out: Path):
    from merrflow.store import existing_ledger

    return existing_ledger(out)


def first(out: Path):
    ledger = existing(out)
    entry = next(iter(entries(ledger, {"clip_000"})))
    ledger.close()
    return entry.record, entry.fine_text
