"""`benchmarks.flow`: its clips, its ledgers and its engines are as a run's, and its sums are right."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.flow import CALLS, merrflow_run, paces
from benchmarks.support.fixed_services import Noted, Pace, noted
from benchmarks.support.made_up_dataset import DESCRIBED, embedded, fill, fixed, keys_for, make_clips
from merrflow.core.fingerprint import file_sha256
from merrflow.formats.clip_list import find_clips
from merrflow.stages.probe import decode
from merrflow.store import Ledger


def test_clips_differ_and_are_one_film(tmp_path: Path) -> None:
    make_clips(tmp_path, 3)
    files = [clip.path for clip in find_clips([tmp_path])]
    assert [file.name for file in files] == ["clip_00000.mp4", "clip_00001.mp4", "clip_00002.mp4"]
    assert len({file_sha256(file) for file in files}) == 3
    for file in files:
        probe = decode(file, max_seconds=60, max_pixels=1 << 20, with_text=False).probe
        assert (probe.frame_count, probe.audio_seconds is not None) == (12, True)


def test_a_filled_ledger_is_finished_work(tmp_path: Path) -> None:
    make_clips(tmp_path / "clips", 20)
    keys = keys_for(fixed())
    fill(tmp_path / "out", tmp_path / "clips", keys, finished=15)
    ledger = Ledger.in_folder(tmp_path / "out")
    found = find_clips([tmp_path / "clips"])
    clips = ledger.register(found, {clip.path: clip.path.stem for clip in found})
    finished = ledger.finished()
    assert [finished.get(clip.name) == keys.of_record(clip) for clip in clips] == [True] * 15 + [False] * 5
    described = ledger.described()
    assert len(described) == int(15 * DESCRIBED)
    assert [name for name, _ in ledger.records()] == sorted(described)
    ledger.close()


def test_a_run_over_a_filled_ledger_finds_nothing_to_do(tmp_path: Path) -> None:
    make_clips(tmp_path / "clips", 5)
    fill(tmp_path / "out", tmp_path / "clips", keys_for(embedded()), finished=5)
    ran = merrflow_run(tmp_path / "clips", tmp_path / "out")
    assert "5 clips" in ran.printed and "5 of them by an earlier run" in ran.printed
    assert ran.cpu_seconds > 0 and ran.peak_mib > 20


def test_what_an_engine_notes() -> None:
    pace = Pace(seconds=2.0, batch=4)
    found = noted([(10.0, 12.0, 4), (12.0, 14.0, 2), (15.0, 17.0, 4)])
    assert (found.items, found.batches, found.busy_seconds, found.span_seconds) == (10, 3, 6.0, 7.0)
    assert found.share_busy() == pytest.approx(6 / 7)
    assert found.share_of_ceiling(pace) == pytest.approx(10 / 7 / 2)
    assert noted([]).share_of_ceiling(pace) == 0.0
    assert Noted(0, 0, 0.0, 0.0, 1.0).share_busy() == 0.0


def test_the_language_model_is_the_slowest() -> None:
    for rate in (0.5, 5.0, 100.0):
        chosen = paces(rate)
        assert chosen["llama3"].ceiling / CALLS == pytest.approx(rate)
        assert all(pace.ceiling > 1.4 * rate for name, pace in chosen.items() if name != "llama3")
