"""The benchmarks of a clip's own work on the project's clips: counts, and the last line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import action_units, clip_work
from benchmarks.support import clip_files, media_parts
from merrflow_serving.media.video import read_frames
from tests.services.openface_au.videos import encode

SHORT = clip_files.OWN / "quiet_goodbye.mp4"


@pytest.fixture
def one_clip(tmp_path: Path) -> Path:
    (tmp_path / "clip.mp4").write_bytes(SHORT.read_bytes())
    return tmp_path


def test_action_units_and_their_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    beginning = read_frames(SHORT, range(40)).values()
    (tmp_path / "clip.mp4").write_bytes(encode(frame.image for frame in beginning))
    action_units.main(["--clips", str(tmp_path), "--workers"])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["decodes"], told["clips"]) == (1, 1)
    assert told["frames_decoded"] == told["frames"] > 31
    assert told["limit_networks_alone"] > told["frames_per_core_second"] > 0
    assert 0 < told["share_of_decoding"] < told["share_of_networks"] < 1


def test_outputs_cost_something_for_each_record() -> None:
    few = clip_work.outputs(3)
    assert set(few) == {"export", "report"} and all(value > 0 for value in few.values())


def test_clips_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"no \.mp4"):
        clip_files.clips_in(tmp_path)
    assert clip_files.clips_in(clip_files.OWN) == sorted(clip_files.OWN.glob("*.mp4"))


def test_a_stopwatch_counts_processor_time_only() -> None:
    import time

    watch = clip_files.Stopwatch()
    with watch.of("sleep"):
        time.sleep(0.2)
    with watch.of("work"):
        sum(range(20_000_000))
    assert watch.seconds["sleep"] < 0.1
    assert watch.seconds["work"] > 0.01


def test_the_parts_of_reading_a_clip_make_up_the_whole(one_clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip_work.main(["--media", "--clips", str(one_clip), "--repeats", "1"])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["clip"]
    beside = media_parts.PLAIN, media_parts.PLAIN_ALL, media_parts.AGAIN, media_parts.WHOLE
    own = {part: value for part, value in told.items() if part not in beside}
    assert told[media_parts.PLAIN] < told[media_parts.WHOLE] < 2 * told["all, decoded once"]
    once, again = own.pop("all, decoded once"), own.pop("all, decoded again")
    assert sum(own.values()) == pytest.approx(once, abs=0.2) and len(own) == 9
    assert again == pytest.approx(once + told[media_parts.AGAIN], abs=0.2)
    assert told[media_parts.AGAIN] > 1, "the frames that were kept are found by decoding again"


def test_what_a_part_calls_of_another_counts_once() -> None:
    shares = media_parts.Shares()
    inner = shares.around(lambda: sum(range(2_000_000)), "inner")
    with shares.of("outer"):
        inner()
    assert shares.seconds["outer"] < 0.2 * shares.seconds["inner"]


@pytest.mark.slow  # it starts four services
def test_what_a_run_does_beside_reading_clips_is_told_by_thread(capsys: pytest.CaptureFixture[str]) -> None:
    clip_work.main(["--own", "4", "--film", "tiny"])
    *lines, told = capsys.readouterr().out.splitlines()
    threads = {line[:32].strip(): float(line[32:].split()[0]) for line in lines if " ms a clip" in line}
    assert threads.keys() >= {"MainThread", "ledger-writer", "stage"} and all(value >= 0 for value in threads.values())
    own = sum(value for name, value in threads.items() if name != "stage")
    assert json.loads(told)["own"] == pytest.approx(own, abs=0.1) and own > 0
