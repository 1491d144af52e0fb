"""What merrflow's own work on a clip costs: `python -m benchmarks.clip_work`.

Processor seconds for a second of video, by stage, and each stage's share. A stage that was made faster is also run the
old way, in the same run, alternating on the same clips. Report and export are measured on a made-up ledger of
`--records` records.

    python -m benchmarks.clip_work --media     # only reading a clip, part by part, beside one plain decode of it

    python -m benchmarks.clip_work --own 60    # only what a run does beside, by thread, for copies of one clip

The clips of `--media` are those up to 1280x720, for a clip, and the larger ones, for a second of video.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.action_units import make_engine, measure
from benchmarks.support import media_parts
from benchmarks.support.clip_files import Stopwatch, clips_in
from benchmarks.support.made_up_dataset import fill, make_clips
from benchmarks.support.own_work import MEDIA, own_work
from merrflow.core.fingerprint import file_sha256
from merrflow.core.measurements import Clip, Peak
from merrflow.datasets.export.everything import write_all
from merrflow.datasets.report import write_report
from merrflow.stages import peak_frame, perceptual_hash, probe, text_boxes, voice
from merrflow.stages.burned_in import read_burned_in
from merrflow.stages.text_reader import SharedReader
from merrflow.store import Ledger
from merrflow_qwen_audio.engines.prosody import ProsodyEngine
from merrflow_qwen_audio.settings import QwenAudioSettings
from merrflow_qwen_audio.types import ToneItem
from merrflow_serving.media.video import VideoFrame, iter_frames

FILM = Path(__file__).parents[1] / "examples" / "clips" / "surprise_visit.mp4"
OWN_LIMIT = 10.0  # milliseconds of the processor for a clip of real size, beside decoding and pictures
MOST_USUAL_PIXELS = 1280 * 720
IMPROVED = ("probe", "peak_frame", "ocr")  # the peak frame by its conversion only
# The most that a stage may cost: processor seconds for a second of video.
LIMITS = {"probe": 0.15, "prosody": 0.06, "ocr": 0.40, "peak_frame": 0.08, "hash": 0.005, "action_units": 1.0}
LIMITS |= {"export": 0.01, "report": 0.01}


class AnyKey:
    """Cache keys of a made-up ledger, which no run reads."""

    def of_record(self, clip: Clip) -> str:
        return clip.name


class Work:
    """The stages with their models, loaded once."""

    def __init__(self) -> None:
        self._units = make_engine()
        self._prosody = ProsodyEngine(QwenAudioSettings())
        self._prosody.load()
        self._reader = SharedReader(1)

    def close(self) -> None:
        self._units.close()
        self._prosody.close()

    def on(self, clip: Path, watch: Stopwatch) -> tuple[float, list[Any]]:
        """Seconds of video, and the results of the improved stages."""
        with watch.of("hash"):
            file_sha256(clip)
        with watch.of("probe"):
            decoded = probe.decode(clip, max_seconds=3600, max_pixels=1 << 26)
        facts, audio = decoded.probe, decoded.audio
        with watch.of("action_units"):
            units, _ = measure(self._units, [clip])
        top = Peak(facts.frame_count // 2, 0.0, (), {}, (), 0.0, "the middle")
        with watch.of("peak_frame"):
            picture = peak_frame.read_peak_frame(clip, facts, top)
        if audio is not None:
            with watch.of("prosody"):
                self._prosody.run([ToneItem(audio)])
            with watch.of("probe: voice and sound hashes"):
                voice.voice_energy(audio)
                perceptual_hash.sound_hashes(audio)
        with watch.of("ocr"):
            said = read_burned_in(decoded.text_samples, self._reader)
        return facts.seconds, [facts, units, picture, (said.text, said.language, said.also)]


@contextmanager
def as_before() -> Iterator[None]:
    """A conversion plan for each picture, and text looked for in every sample: slower, with the same results."""

    def plain(frame: VideoFrame, longest: int) -> np.ndarray:
        return view(VideoFrame(frame.index, frame.timestamp, frame.raw), longest)

    view = VideoFrame.view
    with patch.object(VideoFrame, "view", plain), patch.object(text_boxes, "_is_between", lambda *_: False):
        yield


def both_ways(clips: list[Path]) -> dict[str, Any]:
    """Each clip as it is done now and as it was done before, alternating."""
    work, now, before = Work(), Stopwatch(), Stopwatch()
    work.on(clips[0], Stopwatch())  # warm
    seconds, same = 0.0, True
    for clip in clips:
        with as_before():
            _, old = work.on(clip, before)
        length, new = work.on(clip, now)
        seconds += length
        same &= old == new
    work.close()
    return {
        "clips": len(clips),
        "seconds": round(seconds, 2),
        "same_results": same,
        "now": {name: value / seconds for name, value in now.seconds.items()},
        "before": {name: value / seconds for name, value in before.seconds.items() if name in IMPROVED},
    }


def outputs(records: int, seconds: float = 4.0) -> dict[str, float]:
    """Processor seconds of export and report, for a second of video of the clips in the ledger."""
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as place:
        out, clips = Path(place) / "out", Path(place) / "clips"
        make_clips(clips, records)
        out.mkdir()
        fill(out, clips, AnyKey(), finished=records, seconds=seconds)
        ledger = Ledger.in_folder(out)
        with watch.of("export"):
            write_all(ledger, out)
        with watch.of("report"):
            write_report(ledger, out)
        ledger.close()
    return {name: value / records / seconds for name, value in watch.seconds.items()}


def media(clips: list[Path], repeats: int) -> dict[str, Any]:
    """Prints the parts of reading clips; returns CPU milliseconds."""
    sizes = {clip: _pixels(clip) for clip in clips}
    usual = [clip for clip in clips if sizes[clip] <= MOST_USUAL_PIXELS]
    large = [clip for clip in clips if clip not in usual]
    found: dict[str, Any] = {}
    for kind, some in (("clip", usual), ("second of video above 1280x720", large)):
        if not some:
            continue
        seconds, length = media_parts.parts(some, repeats)
        share = 1000 / (len(some) if some is usual else length)
        print(f"{len(some)} clips, {length:.1f} s of video; CPU ms for a {kind}")
        print(f"{'part':32}{'ms':>8}{'decodes':>9}{'with sound':>12}")
        plain, with_sound = seconds[media_parts.PLAIN], seconds[media_parts.PLAIN_ALL]
        for part, value in media_parts.rows(seconds):
            print(f"{part:32}{share * value:8.1f}{value / plain:9.2f}{value / with_sound:12.2f}")
        found[kind] = {part: round(share * value, 2) for part, value in media_parts.rows(seconds)}
    return found


def _pixels(clip: Path) -> int:
    frame = next(iter_frames(clip, threads=1))
    return frame.size[0] * frame.size[1]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clip_work", description=__doc__)
    parser.add_argument("--clips", type=Path, help="a folder of mp4 files")
    parser.add_argument("--records", type=int, default=500, help="clips in the ledger that is exported (default 500)")
    parser.add_argument("--media", action="store_true", help="only what reading a clip costs, part by part")
    parser.add_argument(
        "--repeats", type=int, default=7, help="of each clip with --media; the least counts (default 7)"
    )
    parser.add_argument(
        "--own", type=int, default=0, help="so many clips; only what a run does beside reading them, by thread"
    )
    parser.add_argument("--film", default=str(FILM), help="the clip of --own, or tiny (default: the examples' longest)")
    options = parser.parse_args(arguments)
    if options.own:
        spent = own_work(options.own, None if options.film == "tiny" else Path(options.film))
        own = sum(value for name, value in spent.items() if name != MEDIA)
        for name, value in sorted(spent.items(), key=lambda item: -item[1]):
            print(f"{name:32}{value:8.2f} ms a clip{'  (media)' if name == MEDIA else ''}")
        print(
            json.dumps({"benchmark": "own", "film": Path(options.film).name, "own": round(own, 2), "limit": OWN_LIMIT})
        )
        return
    if options.media:
        print(json.dumps({"benchmark": "media", **media(clips_in(options.clips), options.repeats)}))
        return
    figures = both_ways(clips_in(options.clips))
    figures["now"] |= outputs(options.records)
    whole = sum(value for name, value in figures["now"].items() if ":" not in name)
    print(f"{figures['clips']} clips, {figures['seconds']} s of video; CPU ms for a second of video")
    print(f"{'stage':32}{'ms':>8}{'before':>8}{'limit':>8}{'share':>8}")
    for name, value in sorted(figures["now"].items(), key=lambda item: -item[1]):
        old, limit = figures["before"].get(name), LIMITS.get(name)
        cells = [f"{1000 * cell:8.1f}" if cell is not None else " " * 8 for cell in (value, old, limit)]
        print(f"{name:32}{''.join(cells)}{value / whole:8.1%}")
    figures["limits"] = LIMITS
    for part in ("now", "before"):
        figures[part] = {name: round(value, 5) for name, value in figures[part].items()}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
