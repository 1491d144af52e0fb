"""What a dataset of MERR's size costs: `python -m benchmarks.cost`, and how accurate that is: `--check`.

Hours by stage from `cost.yaml`, on one GPU and on eight, and which is the bottleneck: processor, GPU or the number of
openface-au's workers. `--check` runs the embedded engines on a few clips and prints predicted and measured processor
seconds.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import yaml

from benchmarks.support.clip_files import clips_in

FIGURES = Path(__file__).with_suffix(".yaml")
COUNTS = ("clips", "described", "kept")  # of the dataset
KINDS = ("measured", "data sheet", "assumed", "published")
CHECK_LIMIT = 0.25  # of the measured seconds: how far the prediction may be off
# The stages of a run of the embedded engines.
CHECKED = ("hash", "probe", "action_units", "ocr", "peak_frame", "measures_of_sound")


@dataclass(frozen=True)
class Cost:
    """The cost of one stage over the whole dataset."""

    stage: str
    on: str  # "cpu" or "gpu"
    hours: float  # of one core, or of one GPU
    kind: str


@dataclass(frozen=True)
class Plan:
    """A machine, and how long the dataset takes there if all parts work at once."""

    gpus: int
    cores: int
    replicas: int  # openface-au's worker processes, each with one video at a time
    hours: dict[str, float]  # by resource
    bottleneck: str

    @property
    def wall_hours(self) -> float:
        return self.hours[self.bottleneck]


def load_figures(path: Path = FIGURES) -> dict[str, Any]:
    """The file. Raises `ValueError` if a figure does not say what kind it is and where it comes from."""
    figures = yaml.safe_load(path.read_text(encoding="utf-8"))
    for part, group in figures.items():
        for name, figure in group.items():
            if figure.get("kind") not in KINDS or not figure.get("from"):
                raise ValueError(f"{path.name}: {part}.{name} needs a kind ({', '.join(KINDS)}) and a from")
    return figures


def resized(figures: dict[str, Any], clips: int) -> dict[str, Any]:
    """The figures for another number of clips, of which as large a part is described and kept."""
    dataset, times = figures["dataset"], clips / value(figures, "dataset", "clips")
    counts = {name: dataset[name] | {"value": round(dataset[name]["value"] * times)} for name in COUNTS}
    return figures | {"dataset": dataset | counts}


def value(figures: Mapping[str, Any], part: str, name: str) -> float:
    return figures[part][name]["value"]


def unit_seconds(figures: Mapping[str, Any], stage: Mapping[str, Any]) -> float:
    """Seconds of one core, or of one GPU at the assumed share of its limit, for one unit of a stage."""
    if "seconds" in stage:
        return stage["seconds"]
    limit = stage["limit"]
    at_limit = (
        (1 / limit["images"] if "images" in limit else 0.0)
        + limit["prompt"] / value(figures, "language_model", "prompt_tokens_per_second")
        + limit["answer"] / value(figures, "language_model", "answer_tokens_per_second")
    )
    return at_limit / value(figures, "machine", "share_of_limit")


def costs(figures: Mapping[str, Any]) -> list[Cost]:
    """Each stage over the dataset."""
    units = {"clip": 1.0, "second": value(figures, "dataset", "seconds"), "frame": value(figures, "dataset", "frames")}
    return [
        Cost(
            name,
            stage["uses"],
            value(figures, "dataset", stage["of"]) * units[stage["per"]] * unit_seconds(figures, stage) / 3600,
            stage["kind"],
        )
        for name, stage in figures["stages"].items()
    ]


def plan(rows: list[Cost], gpus: int, cores: int, replicas: int) -> Plan:
    """How long `rows` take on a machine.

    All cores share the processor's work, and all GPUs that of the models; openface-au has one core per worker.
    """
    units = sum(row.hours for row in rows if row.stage == "action_units")
    hours = {
        "processor": sum(row.hours for row in rows if row.on == "cpu") / cores,
        "openface-au": units / min(replicas, cores),
        "cards": sum(row.hours for row in rows if row.on == "gpu") / gpus,
    }
    return Plan(gpus, cores, replicas, hours, max(hours, key=lambda name: hours[name]))


def plans(figures: Mapping[str, Any], rows: list[Cost]) -> list[Plan]:
    """One GPU and eight, with the cores that come with them; one worker of openface-au, and one for each core."""
    each = int(value(figures, "machine", "cores_per_gpu"))
    return [
        plan(rows, gpus, cores, replicas)
        for gpus, cores in ((1, each), (8, each), (8, 8 * each))
        for replicas in (1, cores)
    ]


def predicted(figures: Mapping[str, Any], clips: list[Path]) -> float:
    """Processor seconds of a run of the embedded engines on `clips`, none of them skipped."""
    seconds = frames = 0.0
    for clip in clips:
        with av.open(str(clip)) as container:
            track = container.streams.video[0]
            seconds += float(track.duration * track.time_base)
            frames += track.frames
    units = {"clip": float(len(clips)), "second": seconds, "frame": frames}
    stages = [figures["stages"][name] for name in CHECKED]
    work = sum(units[stage["per"]] * unit_seconds(figures, stage) for stage in stages)
    return work + len(clips) * value(figures, "embedded", "per_clip") + value(figures, "embedded", "per_run")


def measured(clips: list[Path]) -> float:
    """Processor seconds that `merrflow run` and the services it starts take for `clips`."""
    with tempfile.TemporaryDirectory() as out:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [str(Path(sys.executable).with_name("merrflow")), "run", *map(str, clips), "--out", out]
        done = subprocess.run([*command, "--neutral-sample", "1"], capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise SystemExit(f"the run ended with {done.returncode}: {done.stdout[-800:]}{done.stderr[-800:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def check(figures: Mapping[str, Any], clips: list[Path]) -> dict[str, float]:
    """A small run compared with its prediction."""
    expected, took = predicted(figures, clips), measured(clips)
    return {
        "clips": len(clips),
        "predicted": round(expected, 1),
        "measured": round(took, 1),
        "error": round(expected / took - 1, 3),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=__doc__)
    parser.add_argument("--figures", type=Path, default=FIGURES, help="another cost.yaml")
    parser.add_argument("--size", type=int, help="clips of the dataset, instead of MERR's")
    parser.add_argument("--check", action="store_true", help="run the embedded engines, and compare")
    parser.add_argument("--clips", type=Path, help="a folder of mp4 files for --check")
    options = parser.parse_args(arguments)
    figures = load_figures(options.figures)
    if options.size:
        figures = resized(figures, options.size)
    rows = costs(figures)
    print(f"{'stage':20}{'hours':>10}  of one  figure")
    for row in rows:
        print(f"{row.stage:20}{row.hours:10.3f}  {row.on:6}  {row.kind}")
    print(f"{'GPUs':>4} {'cores':>6} {'openface-au':>12} {'hours':>8}  bottleneck")
    made = plans(figures, rows)
    for one in made:
        print(f"{one.gpus:4} {one.cores:6} {one.replicas:12} {one.wall_hours:8.2f}  {one.bottleneck}")
    content: dict[str, Any] = {
        "hours": {row.stage: round(row.hours, 4) for row in rows},
        "plans": [vars(one) | {"wall_hours": one.wall_hours} for one in made],
    }
    if options.check:
        content["check"] = found = check(figures, clips_in(options.clips))
        print(
            f"check: {found['predicted']} s CPU predicted, {found['measured']} measured: {found['error']:+.0%}, "
            f"limit {CHECK_LIMIT:.0%}"
        )
    print(json.dumps(content))


if __name__ == "__main__":
    main()
