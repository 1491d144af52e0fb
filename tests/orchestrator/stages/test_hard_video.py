"""Pictures that people report as going wrong: the probe, openface-au's engines and the peak frame agree on them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from merrflow.core.measurements import Peak
from merrflow.stages.peak_frame import read_peak_frame
from merrflow.stages.probe import decode
from merrflow_openface_au.engines.openface.clip import inspect_clip, rewrite_lossless
from merrflow_serving.errors import MissingStream, TooLarge, UnreadableMedia
from merrflow_serving.media.images import decode_image
from merrflow_serving.media.video import iter_frames
from tests.orchestrator.stages.odd_films import corner, film
from tests.orchestrator.stages.test_probe import film as noisy_film
from tests.paths import ROOT, SHARED
from tests.services.serving.odd_containers import Track, damaged, many_tracks

LIMITS = {"max_seconds": 60.0, "max_pixels": 7680 * 4320}
HARD = SHARED / "hard-inputs"
WHOLE = ROOT / "examples" / "clips" / "good_news.mp4"
needs_hard_inputs = pytest.mark.skipif(not HARD.is_dir(), reason="without ../shared/hard-inputs")


def agreed(path: Path, tmp_path: Path | None = None) -> tuple[list[float], tuple[int, int]]:
    """Times and size of the frames, which are the same wherever the clip is read. tmp_path: also if it is rewritten."""
    decoded = decode(path, **LIMITS)
    probe, times = decoded.probe, list(decoded.times)
    assert all(one < other for one, other in pairwise(times)) and probe.frame_count == len(times)
    facts = inspect_clip(path, max_pixels=0, max_frames=0)
    assert [round(time, 6) for time in facts.timestamps] == times
    assert (facts.width, facts.height) == (probe.width, probe.height)
    last = len(times) - 1
    peak = read_peak_frame(path, probe, Peak(last, times[last], (), {}, (), 0.0, ""))
    assert decode_image(peak.image).shape == (probe.height, probe.width, 3)
    if tmp_path:
        assert facts.needs_rewrite
        again = rewrite_lossless(path, facts, tmp_path, "again")
        assert len(inspect_clip(again, max_pixels=0, max_frames=0).timestamps) == len(times)
    return times, (probe.width, probe.height)


@needs_hard_inputs
@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("m02b_negative.mkv", 85),
        ("m03_vfr.mp4", 45),
        ("m04e_hflip.mp4", 85),
        ("m06_mkv_cover.mkv", 85),
        ("m06c_thumb_first.mp4", 85),
        ("m13_anamorphic.mp4", 85),
        ("m15_corrupt_mid.mp4", 72),
    ],
)
def test_hard_inputs_are_read_as_players_read_them(tmp_path, name, frames):
    times, size = agreed(HARD / name, tmp_path if frames == 72 else None)
    assert (len(times), size) == (frames, (640, 480))
    assert times[-1] == pytest.approx(3.36) and times[0] == 0
    if frames == 85:
        assert times == pytest.approx([index / 25 for index in range(85)], abs=1e-3)
    picture, right = (next(iter_frames(path)).scaled(160).astype(int) for path in (HARD / name, WHOLE))
    assert np.abs(picture - right).mean() < 6
    assert decode(HARD / name, **LIMITS).probe.adjusted == (name != "m03_vfr.mp4")  # so that its faces are found again


@needs_hard_inputs
def test_damage_is_told():
    probe = decode(HARD / "m15_corrupt_mid.mp4", **LIMITS).probe
    assert (probe.damaged_packets, probe.damaged_frames) == (12, 3)


def test_a_whole_clip_has_no_damage():
    probe = decode(WHOLE, **LIMITS).probe
    assert (probe.damaged_packets, probe.damaged_frames, probe.frame_count) == (0, 0, 85)
    assert not probe.adjusted


@pytest.mark.parametrize(("first", "count"), [(20, 3), (30, 5), (78, 7)])
def test_everyone_counts_the_same_frames_of_a_damaged_clip(tmp_path, first, count):
    path = tmp_path / "damaged.mp4"
    path.write_bytes(damaged(WHOLE.read_bytes(), first, count))
    times, size = agreed(path)
    probe = decode(path, **LIMITS).probe
    assert 10 <= len(times) < 85 and size == (640, 480) and probe.damaged_packets > 0


def test_what_is_damaged_to_the_end_is_cut_off(tmp_path):
    path = tmp_path / "half.mp4"
    path.write_bytes(damaged(noisy_film(tmp_path / "whole.mp4", sound=False).read_bytes(), 50, 50))
    with pytest.raises(UnreadableMedia, match="the file is cut off"):
        decode(path, **LIMITS)


@pytest.mark.parametrize("start", [20_000.0, 3.0, 0.0])
def test_recordings_that_were_joined_go_on(tmp_path, start):
    """A television's clock jumps where one recording ends and the next begins."""
    parts = []
    for name, first in (("one", 90.0), ("two", start)):
        path = tmp_path / f"{name}.ts"
        film(path, [corner(96, 64)] * 30, times=lambda index, first=first: first + index / 25)
        parts.append(path.read_bytes())
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(parts))
    times, _ = agreed(joined)
    assert len(times) == 60 and times == pytest.approx([index / 25 for index in range(60)], abs=0.05)


def test_a_recording_that_really_is_long_is_refused(tmp_path):
    path = film(tmp_path / "long.ts", [corner(96, 64)] * 100)
    with pytest.raises(TooLarge, match="longer than 2 seconds"):
        decode(path, max_seconds=2.0, max_pixels=10**6)


def test_a_cover_with_a_song_has_no_video_track(tmp_path):
    path = many_tracks(tmp_path / "song.mp4", [Track(1, codec="mjpeg")])
    with pytest.raises(MissingStream, match="no video track: only a cover"):
        decode(path, **LIMITS)
