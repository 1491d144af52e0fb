"""The benchmarks of a clip's own work on the project's clips: counts, and the last line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import action_units, clip_work
from benchmarks.support import clip_files

SHORT = clip_files.OWN / "quiet_goodbye.mp4"


@pytest.fixture
def one_clip(tmp_path: Path) -> Path:
    (tmp_path / "clip.mp4").write_bytes(SHORT.read_bytes())
    return tmp_path


def test_action_units_and_their_parts(one_clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    action_units.main(["--clips", str(one_clip), "--workers"])
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
