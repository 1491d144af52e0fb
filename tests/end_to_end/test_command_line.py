"""`merrflow` as people use it, with the embedded services: good clips among everything that can be wrong."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.forks import merrflow
from tests.orchestrator.fakes import make_video
from tests.prefect_home import home_with_database

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/clips"
SHARED = ROOT.parent / "shared/clips"


def whole_merrflow(*arguments, **variables) -> subprocess.CompletedProcess:
    """The command as a process that imports all that it needs."""
    return subprocess.run(
        [sys.executable, "-c", "from merrflow.cli import main; main()", *map(str, arguments)],
        env=os.environ | {name: str(value) for name, value in variables.items()},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def prefect_home(tmp_path_factory):
    return {"PREFECT_HOME": home_with_database(tmp_path_factory.mktemp("prefect"))}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, prefect_home):
    """A run over the examples and a collection of trouble."""
    folder = tmp_path_factory.mktemp("run")
    clips, out = folder / "clips", folder / "out"
    shutil.copytree(EXAMPLES, clips)
    shutil.move(clips / "quiet_goodbye.mp4", clips / "好 消息 [1].MP4")
    (clips / "other").mkdir()
    shutil.move(clips / "surprise_visit.mp4", clips / "other/good_news.mp4")
    table = clips / "transcripts.csv"
    table.write_text(table.read_text("utf-8").replace("surprise_visit", "other/good_news"), "utf-8")
    (clips / "zero.mp4").write_bytes(b"")
    (clips / "letter.mp4").write_text("Dear diary")
    whole = (clips / "good_news.mp4").read_bytes()
    (clips / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    make_video(clips / "nobody.mp4", "grey")
    make_video(clips / "one_frame.mp4", "red", frames=1, sound=False)
    ended = whole_merrflow(
        "run", clips, "--out", out, "--transcripts", clips / "transcripts.csv", "--neutral-sample", 1, **prefect_home
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return clips, out, ended.stdout


def lines(path: Path) -> dict[str, dict]:
    return {row["name"]: row for row in map(json.loads, path.read_text().splitlines())}


def test_good_clips_have_all_clues_and_believable_labels(finished):
    _, out, stdout = finished
    records = lines(out / "records.jsonl")
    expected = {"clips__good_news": "happy", "other__good_news": "surprise", "好_消息_[1]": "sad"}
    labels = {name: records[name]["label"] for name in expected}
    assert {name: label["label"] for name, label in labels.items()} == expected
    assert {label["standing"]["verdict"] for label in labels.values()} == {"confirmed"}
    subtitles = {name: (row["subtitle"]["text"], row["subtitle"]["source"]) for name, row in records.items()}
    assert subtitles["clips__good_news"] == ("We got it! They said yes!", "srt")
    assert subtitles["other__good_news"] == ("Oh! What are you doing here?", "table")
    assert subtitles["好_消息_[1]"] == ("I miss you so much.", "picture")
    for name, row in records.items():
        for clue in ("scene", "tone", "reasoning"):
            assert row[clue] or row["missing"][clue], f"{name} has no {clue} and does not say why"
        for origin in row["origins"].values():
            assert origin["engine"] and origin["model"] and origin["revision"].count("sha256:")
        assert (out / f"peaks/{name}.jpg").read_bytes()[:2] == b"\xff\xd8"
    assert f"open {out / 'report.html'}" in stdout


def test_the_peak_of_the_smile_is_where_the_smile_was_put(finished):
    record = lines(finished[1] / "records.jsonl")["clips__good_news"]
    assert {"AU06", "AU12"} <= set(record["label"]["action_units"])
    assert 30 <= record["peak"]["index"] <= 65  # the script's apex, examples/clips.yaml


def test_trouble_gets_an_outcome_and_a_reason_and_overwrites_nothing(finished):
    _, out, _ = finished
    records, dropped = lines(out / "records.jsonl"), lines(out / "dropped.jsonl")
    assert {"clips__good_news", "other__good_news", "好_消息_[1]"} == set(records)
    assert records["other__good_news"]["label"]["label"] == "surprise"
    for name, outcome, words in (
        ("zero", "failed", "empty"),
        ("letter", "failed", "not a video"),
        ("cut", "failed", "cut off"),
        ("nobody", "skipped", "no face"),
        ("one_frame", "skipped", "no face"),
    ):
        assert dropped[name]["outcome"] == outcome
        assert words in dropped[name]["reason"]


def test_merr_files_load_field_by_field(finished):
    merr = finished[1] / "merr"
    for kind, caption in (("coarse", "caption"), ("fine", "smp_reason_caption")):
        data = json.loads((merr / f"MERR_{kind}_grained.json").read_text())
        rows = [line.split(" ") for line in (merr / f"MERR_{kind}_grained.txt").read_text().splitlines()]
        assert data and [row[0] for row in rows] == list(data)
        for name, count, label in rows:
            record = data[name]
            assert record["pseu_emotion"] == label
            assert 0 <= int(record["peak_index"]) < int(count)
            assert len(record["AU_list"]) == len(record["visual_prior_list"])
            assert set(record["AU_list"]) <= set(record["peak_AU_list"])
            assert all(re.fullmatch(r"AU\d\d", unit) for unit in record["peak_AU_list"])
            assert len(record[caption].split()) > 10 and isinstance(record["audio_prior_list"], str)
            assert ("text" in record) == (kind == "fine")


def test_the_same_command_again_calls_no_model_and_changes_no_byte(finished, prefect_home):
    clips, out, _ = finished
    before = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.parent.name in ("merr", "peaks")}
    logs = {path: path.stat().st_size for path in (out / "logs").iterdir()}
    ended = whole_merrflow(
        "run", clips, "--out", out, "--transcripts", clips / "transcripts.csv", "--neutral-sample", 1, **prefect_home
    )
    assert ended.returncode == 0
    assert "of them by an earlier run" in ended.stdout
    assert before == {path: path.read_bytes() for path in before}
    assert logs == {path: path.stat().st_size for path in logs}, "no service was even started"


def test_prefects_server_ends_with_the_runs_if_it_is_to_wait_for_no_other(finished, prefect_home):
    (lock,) = (prefect_home["PREFECT_HOME"] / "merrflow").glob("server-*.lock")
    with lock.open() as file:
        for _ in range(300):
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.1)
    raise AssertionError(f"it still holds {lock}")


def test_status_and_report(finished):
    _, out, _ = finished
    found = json.loads(merrflow("status", "--out", out, "--json").stdout)
    assert found["clips"] == 8 and found["outcomes"]["failed"] == 3 and found["outcomes"]["skipped"] == 2
    assert "surprise" in merrflow("status", "--out", out).stdout
    page = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    assert merrflow("report", "--out", out).returncode == 0
    assert (out / "report.html").read_bytes() == page


def test_call_starts_the_service_and_gives_json():
    ended = whole_merrflow("call", "qwen-audio", EXAMPLES / "good_news.mp4")
    assert ended.returncode == 0, ended.stderr
    reply = json.loads(ended.stdout)
    assert "voice" in reply["text"] and reply["engine"]["model"]


def test_unusable_arguments_are_one_line_and_exit_code_2(tmp_path):
    (tmp_path / "bad.csv").write_text("file\na.mp4\n")
    (tmp_path / "plain").write_text("x")
    clip = EXAMPLES / "good_news.mp4"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        silent = {"MERRFLOW_OPENFACE_AU_ADDRESS": f"127.0.0.1:{port}", "MERRFLOW_CONNECT_SECONDS": "0.5"} | {
            f"MERRFLOW_{name}_ADDRESS": f"127.0.0.1:{port}" for name in ("MINIGPT_V2", "QWEN_AUDIO", "LLAMA3")
        }
        for arguments, variables, words in (
            (["run"], {}, "Missing argument"),
            (["run", clip], {}, "--out"),
            (["run", tmp_path / "none", "--out", tmp_path / "o"], {}, "no such file"),
            (["run", tmp_path / "bad.csv", "--out", tmp_path / "o"], {}, "needs a column `path`"),
            (["run", clip, "--transcripts", tmp_path / "bad.csv", "--out", tmp_path / "o"], {}, "columns `name`"),
            (["run", clip, "--labels", tmp_path / "bad.csv", "--out", tmp_path / "o"], {}, "columns `name`"),
            (["run", clip, "--action-units-from", tmp_path / "none", "--out", tmp_path / "o"], {}, "no such file"),
            (["run", clip, "--rules", tmp_path / "none.yaml", "--out", tmp_path / "o"], {}, "none.yaml"),
            (["run", clip, "--labels-from", "dice", "--out", tmp_path / "o"], {}, "labels_from"),
            (["run", clip, "--out", tmp_path / "plain/o"], {}, "choose another folder"),
            (["run", clip, "--out", tmp_path / "o", "--config", tmp_path / "no.yaml"], {}, "no.yaml"),
            (["run", clip, "--out", tmp_path / "o"], silent, "does not answer at 127.0.0.1"),
            (["serve", "llama3", "--port", port], {}, "in use"),
            (["serve", "gpt"], {}, "gpt"),
            (["call", "gpt", clip], {}, "the services are"),
            (["status", "--out", tmp_path], {}, "no run was ever made"),
            (["curate", "--out", tmp_path], {}, "no run was ever made"),
            (["export", "--out", tmp_path, "--format", "merr"], {}, "no run was ever made"),
            (["mine", "disgust", "--out", tmp_path], {}, "no run was ever made"),
            (["evaluate", "--rules", "merr", "--against", tmp_path / "bad.csv"], {}, "bad.csv"),
            (["rules", "show", "none"], {}, "there is no rule set"),
        ):
            ended = merrflow(*arguments, variables=variables)
            code, told = ended.returncode, ended.stderr
            assert (code, words in told) == (2, True), (arguments, told)
            assert len(told.strip().splitlines()) == 1, told
    assert not (tmp_path / "o/ledger.db").exists() or not list((tmp_path / "o").glob("merr/*"))


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the research clips are not beside the checkout")
def test_the_research_clips_by_python(tmp_path, prefect_home):
    code = (
        "import sys, merrflow\n"
        "summary = merrflow.annotate(sys.argv[1], out=sys.argv[2], transcripts=sys.argv[3], neutral_sample=1.0)\n"
        "assert summary.complete and summary.clips == 6, summary\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(SHARED), str(tmp_path / "out"), str(SHARED / "transcripts.csv")],
        env=os.environ | {name: str(value) for name, value in prefect_home.items()},
        check=True,
        timeout=600,
    )
    records = lines(tmp_path / "out/records.jsonl")
    assert len(records) == 6
    sentences = {row["name"]: row["sentence"] for row in csv.DictReader((SHARED / "transcripts.csv").open())}
    for name, row in records.items():
        assert row["scene"] and row["tone"] and row["reasoning"] and row["subtitle"]["text"], name
        assert row["subtitle"]["text"] == sentences.get(name, row["subtitle"]["text"])
    read = records["sample_00002422"]["subtitle"]
    assert read["source"] == "picture" and "organized that plan for you" in read["text"]
