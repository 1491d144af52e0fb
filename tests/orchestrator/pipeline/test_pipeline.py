"""Whole runs over tiny videos: real files, real gRPC, a real ledger; only the models are fakes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from merrflow.core.errors import InputError
from merrflow.pipeline import concurrency
from merrflow.pipeline.open_session import open_session
from merrflow.pipeline.request import Request
from merrflow.stages import peak_frame, subtitle
from merrflow.stages.text_samples import read_samples
from merrflow_serving.errors import EngineFault, InvalidInput, NotReady, TooLarge, UnreadableMedia
from tests.orchestrator import fakes
from tests.orchestrator.fakes import calls, fake_services, make_video, trouble


async def annotate(inputs, out, addresses, transcripts=None, **settings):
    settings = {"neutral_sample": 0.0, "retry_seconds": 0.5} | addresses | settings
    request = Request(tuple(map(str, inputs)), str(out), transcripts and str(transcripts), overrides=settings)
    async with open_session(request) as session:
        await session.wait_ready()
        await session.annotate([clip.name for clip in session.todo])
        return session.write_outputs()


def read_json(path):
    return json.loads(path.read_text())


def dropped(out):
    return {row["name"]: row for row in map(json.loads, (out / "dropped.jsonl").read_text().splitlines())}


async def test_every_clip_gets_an_outcome_and_the_files_hold_what_was_measured(tmp_path):
    clips = tmp_path / "clips"
    make_video(clips / "smile.mp4", "red")
    make_video(clips / "rest.mp4", "grey")
    make_video(clips / "nobody.mp4", "blue")
    make_video(clips / "mute.mp4", "red", sound=False)
    (clips / "text.mp4").write_text("this is no video")
    (clips / "zero.mp4").write_bytes(b"")
    whole = make_video(clips / "cut.mp4", "red", frames=50).read_bytes()
    (clips / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    make_video(clips / "one.mp4", "red", frames=1, sound=False)
    table = tmp_path / "t.csv"
    table.write_text("name,sentence\nsmile,What a day!\n")
    out = tmp_path / "out"
    async with fake_services() as addresses:
        summary = await annotate([clips], out, addresses, table)

    assert summary.outcomes == {"done": 3, "skipped": 2, "failed": 3}
    assert (summary.coarse, summary.fine, summary.complete) == (3, 3, True)
    coarse, fine = read_json(out / "merr/MERR_coarse_grained.json"), read_json(out / "merr/MERR_fine_grained.json")
    assert list(coarse) == list(fine) == ["mute", "one", "smile"]
    assert set(coarse["smile"]) == {
        "AU_list", "visual_prior_list", "audio_prior_list", "peak_index", "peak_AU_list", "pseu_emotion",
        "pseu_emotion_standing", "caption",
    }  # fmt: skip
    smile = fine["smile"]
    assert (smile["pseu_emotion"], smile["AU_list"], smile["peak_index"]) == ("happy", ["AU06", "AU12"], "11")
    assert smile["text"] == "What a day!"
    assert smile["audio_prior_list"] == "The voice is loud for 0.6 seconds."  # with the codec's padding
    assert "One person stands in a room of 96 by 64" in coarse["smile"]["caption"]
    assert (out / "merr/MERR_coarse_grained.txt").read_text().splitlines()[2] == "smile 12 happy"
    assert (out / "peaks/smile.jpg").stat().st_size > 500

    records = {row["name"]: row for row in map(json.loads, (out / "records.jsonl").read_text().splitlines())}
    assert records["mute"]["missing"]["tone"] == "the file has no sound track"
    assert records["smile"]["origins"]["tone"]["model"] == "fake-qwen-audio"
    reasons = {name: row["reason"] for name, row in dropped(out).items()}
    assert "neutral" in reasons["rest"] and "sample" in reasons["rest"]
    assert "face" in reasons["nobody"]
    assert "0 bytes" in reasons["zero"]
    assert "not a video" in reasons["text"] and "cut off" in reasons["cut"]
    assert (out / "report.html").stat().st_size > 1000


async def test_a_second_run_calls_no_model_and_writes_the_same_bytes(tmp_path):
    for number in range(3):
        make_video(tmp_path / f"clips/c{number}.mp4", "red", seed=number)
    (tmp_path / "clips/bad.mp4").write_bytes(b"bad")
    out = tmp_path / "out"
    async with fake_services() as addresses:
        first = await annotate([tmp_path / "clips"], out, addresses)
        before = {path: path.read_bytes() for path in (out / "merr").iterdir()}
        done = calls.copy()
        second = await annotate([tmp_path / "clips"], out, addresses)
    assert done and calls == done
    assert (first.worked, second.worked) == (4, 0)
    assert before == {path: path.read_bytes() for path in (out / "merr").iterdir()}


async def test_a_new_model_is_new_work_for_its_stage_alone(tmp_path):
    make_video(tmp_path / "a.mp4", "red")
    async with fake_services() as addresses:
        await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses)
    calls.clear()
    async with fake_services(llama3=fakes.NewerReasoner) as addresses:
        await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses)
    assert dict(calls) == {"llama3": 1, "scores": 1}


async def test_a_changed_setting_redoes_exactly_what_depends_on_it(tmp_path):
    clip = make_video(tmp_path / "a.mp4", "red")
    changes = (
        ({}, 1, {"openface-au": 1, "minigpt-v2": 1, "qwen-audio": 1, "llama3": 1, "scores": 1}),
        ({"shard_size": 7, "clips_at_once": 3}, 0, {}),
        ({"neutral_sample": 0.5}, 1, {}),
        ({"label_scores": "modalities"}, 1, {"scores": 2}),  # the face alone and the voice alone; nothing is said
        ({"label_scores": "none"}, 1, {}),
        ({"labels_from": "model"}, 1, {}),
        ({"seed": 1}, 1, {"llama3": 1}),
        ({}, 1, {}),
        ({}, 0, {}),
    )
    async with fake_services() as addresses:
        for settings, worked, expected in changes:
            calls.clear()
            summary = await annotate([clip], tmp_path / "out", addresses, **settings)
            assert (summary.worked, dict(calls)) == (worked, expected), settings


async def test_a_new_scoring_prompt_redoes_scores_and_no_text(tmp_path):
    make_video(tmp_path / "a.mp4", "red")
    async with fake_services() as addresses:
        await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses)
    calls.clear()
    async with fake_services(llama3=fakes.NewerScorer) as addresses:
        await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses)
    assert dict(calls) == {"scores": 1}
    record = json.loads((tmp_path / "out/records.jsonl").read_text())
    assert record["origins"]["score_all"]["prompt_version"] == "scoring-2"
    assert record["origins"]["reasoning"]["prompt_version"] == "reasoning-1"


async def test_new_bytes_under_an_old_path_are_new_work(tmp_path):
    path = make_video(tmp_path / "a.mp4", "red")
    async with fake_services() as addresses:
        await annotate([path], tmp_path / "out", addresses)
        make_video(path, "blue", frames=15)
        summary = await annotate([path], tmp_path / "out", addresses)
    assert summary.outcomes == {"skipped": 1}
    assert read_json(tmp_path / "out/merr/MERR_fine_grained.json") == {}


async def test_pictures_for_ocr_that_do_not_fit_are_read_again_and_nothing_else_changes(tmp_path, monkeypatch):
    found, read = [], []
    monkeypatch.setattr(subtitle, "read_samples", lambda *given, **more: read.append(1) or read_samples(*given, **more))
    path = make_video(tmp_path / "a.mp4", "red")
    for room in (1 << 24, 100, 0):
        monkeypatch.setattr(concurrency, "HELD_BYTES", room)
        read.append(0)
        out = tmp_path / f"out{room}"
        async with fake_services() as addresses:
            await annotate([path], out, addresses)
        found.append(read_json(out / "merr/MERR_fine_grained.json"))
    assert found[0] == found[1] == found[2] and found[0]
    assert read == [0, 0, 1, 0, 1]


async def test_a_new_subtitle_file_is_seen(tmp_path):
    path = make_video(tmp_path / "a.mp4", "red")
    async with fake_services() as addresses:
        await annotate([path], tmp_path / "out", addresses)
        (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nHow nice.\n")
        calls.clear()
        await annotate([path], tmp_path / "out", addresses)
    assert read_json(tmp_path / "out/merr/MERR_fine_grained.json")["a"]["text"] == "How nice."
    expected = {"llama3": 1, "scores": 1}
    assert dict(calls) == expected, "only the reasoning depends on the subtitle"


async def test_a_service_that_is_away_fails_the_clip_for_now_and_the_next_run_mends_it(tmp_path):
    make_video(tmp_path / "a.mp4", "red")
    async with fake_services() as addresses:
        trouble["qwen-audio"] = NotReady("the model is away")
        summary = await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses)
        assert (summary.outcomes, summary.try_again, summary.complete) == ({"failed": 1}, 1, False)
        assert dropped(tmp_path / "out")["a"]["next_run_tries_again"] is True
        trouble.clear()
        calls.clear()
        summary = await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses)
    assert summary.outcomes == {"done": 1}
    assert dict(calls) == {"qwen-audio": 1, "llama3": 1, "scores": 1}, "what was done before is not done again"


async def test_a_clue_that_cannot_be_had_is_missing_with_its_reason(tmp_path):
    make_video(tmp_path / "a.mp4", "red")
    async with fake_services() as addresses:
        trouble["minigpt-v2"] = InvalidInput("the picture has too many pixels")
        summary = await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses)
        calls.clear()
        await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses)
    assert summary.outcomes == {"done": 1} and not calls
    record = json.loads((tmp_path / "out/records.jsonl").read_text())
    assert record["scene"] is None and record["missing"]["scene"] == "the picture has too many pixels"


async def test_a_peak_frame_that_cannot_be_read_fails_the_clip_and_not_its_scene(tmp_path, monkeypatch):
    def gone(*arguments, **limits):
        raise UnreadableMedia("the file does not exist")

    make_video(tmp_path / "clips/smile.mp4", "red")
    out = tmp_path / "out"
    async with fake_services() as addresses:
        with monkeypatch.context() as patch:
            patch.setattr(peak_frame, "read_peak_frame", gone)
            assert (await annotate([tmp_path / "clips"], out, addresses)).outcomes == {"failed": 1}
        assert dropped(out)["smile"]["reason"] == "the file does not exist"
        assert not calls["minigpt-v2"] and not calls["llama3"], "without a picture there is no record to describe"
        summary = await annotate([tmp_path / "clips"], out, addresses, seed=1)
    assert summary.outcomes == {"done": 1}
    assert calls["minigpt-v2"] == 1


async def test_a_fault_is_tried_in_three_runs_and_then_final(tmp_path):
    make_video(tmp_path / "a.mp4", "red")
    make_video(tmp_path / "b.mp4", "blue")
    tries = []
    async with fake_services() as addresses:
        trouble["llama3"] = EngineFault("the engine broke")
        for _ in range(5):
            calls.clear()
            summary = await annotate([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path / "out", addresses)
            tries.append((calls["llama3"], summary.try_again))
    assert tries == [(1, 1), (1, 1), (1, 0), (0, 0), (0, 0)]
    assert summary.outcomes == {"failed": 1, "skipped": 1}


async def test_given_labels_and_names_with_blanks_and_chinese_characters(tmp_path):
    make_video(tmp_path / "in/片 段 一.mp4", "grey")
    table = tmp_path / "list.csv"
    table.write_text("path,label\nin/片 段 一.mp4,sad\n")
    async with fake_services() as addresses:
        summary = await annotate([table], tmp_path / "out", addresses)
    assert summary.labels == {"sad": 1}
    line = (tmp_path / "out/merr/MERR_coarse_grained.txt").read_text().split()
    assert line == ["片_段_一", "12", "sad"]


async def test_two_clips_of_one_name_both_stay(tmp_path):
    make_video(tmp_path / "x/clip.mp4", "red", seed=1)
    make_video(tmp_path / "y/clip.mp4", "red", frames=20, seed=2)
    async with fake_services() as addresses:
        await annotate([tmp_path / "x", tmp_path / "y"], tmp_path / "out", addresses)
    assert (tmp_path / "out/merr/MERR_fine_grained.txt").read_text() == "x__clip 12 happy\ny__clip 20 happy\n"
    assert {path.name for path in (tmp_path / "out/peaks").iterdir()} == {"x__clip.jpg", "y__clip.jpg"}


async def test_neutral_sample_does_not_depend_on_order(tmp_path):
    for number in range(8):
        make_video(tmp_path / f"clips/n{number}.mp4", "grey", seed=number * 9)
    kept = []
    async with fake_services() as addresses:
        for out, inputs in (("o1", sorted), ("o2", lambda names: sorted(names, reverse=True))):
            files = inputs(str(path) for path in (tmp_path / "clips").iterdir())
            await annotate(files, tmp_path / out, addresses, neutral_sample=0.5)
            kept.append(list(read_json(tmp_path / out / "merr/MERR_coarse_grained.json")))
    assert kept[0] == kept[1]
    assert 0 < len(kept[0]) < 8


async def test_unusable_arguments_stop_before_any_work(tmp_path):
    clip = make_video(tmp_path / "a.mp4", "red")
    table = tmp_path / "bad.csv"
    table.write_text("path,label\na.mp4,blissful\n")
    nobody = {"openface_au_address": "127.0.0.1:1", "connect_seconds": 0.3}
    async with fake_services() as addresses:
        for inputs, out, settings, words in (
            ([table], "o", {}, "blissful"),
            ([clip], "a.mp4/o", {}, "cannot write there"),
            ([clip], "o", {"rules": "nonsense"}, "nonsense"),
            ([clip], "o", {"colour": "red"}, "colour"),
            ([clip], "o", nobody, "openface-au does not answer at 127.0.0.1:1"),
            ([clip], "o", {"llama3_address": ""}, "MERRFLOW_LLAMA3_ADDRESS"),
        ):
            with pytest.raises(InputError) as caught:
                await annotate(inputs, tmp_path / out, addresses | settings)
            assert words in str(caught.value) and "\n" not in str(caught.value).strip()
    assert not calls


async def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    clip = make_video(tmp_path / "a.mp4", "red")
    (tmp_path / "out").mkdir()
    hold = "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); print(1, flush=True); input()"
    async with fake_services() as addresses:
        other = subprocess.Popen(
            [sys.executable, "-c", hold, str(tmp_path / "out/.lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        other.stdout.readline()
        try:
            with pytest.raises(InputError, match="another run is working there"):
                await annotate([clip], tmp_path / "out", addresses)
        finally:
            other.kill()
            other.wait()
        assert (await annotate([clip], tmp_path / "out", addresses)).outcomes == {"done": 1}


async def test_streaming_above_the_message_limit(tmp_path, monkeypatch):
    clip = make_video(tmp_path / "a.mp4", "red")
    monkeypatch.setattr("merrflow.clients.rpc.CHUNK", 1000)
    async with fake_services() as addresses:
        request = Request((str(clip),), str(tmp_path / "out"), overrides=addresses)
        async with open_session(request) as session:
            for connection in session.services.connections.values():
                connection.info.limits.max_message_bytes = 2000
            await session.annotate(["a"])
            assert session.write_outputs().outcomes == {"done": 1}


async def test_a_clip_that_is_named_twice_is_annotated_once_and_an_unknown_name_is_passed_over(tmp_path):
    clip = make_video(tmp_path / "a.mp4", "red")
    async with fake_services() as addresses:
        async with open_session(Request((str(clip),), str(tmp_path / "out"), overrides=addresses)) as session:
            assert await session.annotate(["a", "nobody", "a"]) == {"done": 1}
        assert calls["openface-au"] == 1


def test_summary_counts_only_this_runs_clips():
    from merrflow.datasets.outputs import Summary

    summary = Summary(None, 1, {"done": 1}, {}, 1, 1, 0, 0, 1, ())
    assert summary.complete
    assert not replace(summary, unfinished=1).complete


async def test_a_link_out_of_the_services_folders_is_sent_as_bytes(tmp_path):
    make_video(tmp_path / "elsewhere/a.mp4", "red")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips/link.mp4").symlink_to(tmp_path / "elsewhere/a.mp4")
    async with fake_services() as addresses:  # which have no media roots at all
        summary = await annotate([tmp_path / "clips"], tmp_path / "out", addresses, send_paths=True)
    assert summary.outcomes == {"done": 1}


async def test_a_moved_folder_is_the_same_dataset(tmp_path):
    make_video(tmp_path / "before/a.mp4", "red", seed=1)
    make_video(tmp_path / "before/b.mp4", "red", seed=2)
    async with fake_services() as addresses:
        await annotate([tmp_path / "before"], tmp_path / "out", addresses)
        merr = (tmp_path / "out/merr/MERR_fine_grained.json").read_bytes()
        (tmp_path / "before").rename(tmp_path / "after")
        calls.clear()
        summary = await annotate([tmp_path / "after"], tmp_path / "out", addresses)
    assert not calls and summary.clips == 2
    assert (tmp_path / "out/merr/MERR_fine_grained.json").read_bytes() == merr
    paths = [json.loads(line)["path"] for line in (tmp_path / "out/records.jsonl").read_text().splitlines()]
    assert paths == [str(tmp_path / "after/a.mp4"), str(tmp_path / "after/b.mp4")]


async def test_a_name_that_is_no_text_hurts_nobody(tmp_path):
    make_video(tmp_path / "clips/good.mp4", "red", seed=1)
    make_video(tmp_path / "clips/x.mp4", "red", seed=2).rename(tmp_path / "clips" / os.fsdecode(b"caf\xe9.mp4"))
    async with fake_services() as addresses:
        for send_paths in (False, True):
            out = tmp_path / f"out{send_paths}"
            summary = await annotate([tmp_path / "clips"], out, addresses, send_paths=send_paths)
            assert summary.outcomes == {"done": 2}
    assert set(read_json(out / "merr/MERR_fine_grained.json")) == {"caf_", "good"}


async def test_lost_pictures_are_made_again_without_a_model(tmp_path):
    make_video(tmp_path / "a.mp4", "red")
    async with fake_services() as addresses:
        await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses)
        picture = (tmp_path / "out/peaks/a.jpg").read_bytes()
        (tmp_path / "out/peaks/a.jpg").unlink()
        calls.clear()
        await annotate([tmp_path / "a.mp4"], tmp_path / "out", addresses)
    assert not calls and (tmp_path / "out/peaks/a.jpg").read_bytes() == picture


async def test_what_was_too_large_is_tried_again_under_a_higher_limit(tmp_path):
    clip = make_video(tmp_path / "a.mp4", "red")
    async with fake_services() as addresses:
        trouble["openface-au"] = TooLarge("the video has more than 10 frames")
        assert (await annotate([clip], tmp_path / "out", addresses)).outcomes == {"failed": 1}
        trouble.clear()
        calls.clear()
        assert (await annotate([clip], tmp_path / "out", addresses)).worked == 0, "the limits are what they were"
    async with fake_services(openface_au=fakes.RoomierActionUnits) as addresses:
        summary = await annotate([clip], tmp_path / "out", addresses)
    assert summary.outcomes == {"done": 1}
