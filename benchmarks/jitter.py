"""How often the rules' label and peak change if the measured intensities change by less than anybody sees.

    python -m benchmarks.jitter OUT... [--rules default] [--noise 0.1] [--seeds 50]

OUT: output folders of runs. To every intensity normal noise is added, independent by frame and unit. A unit is present
if it was, unless the noise takes it across the value that best separates its frames with presence from those without.
Each set is judged twice: with its own window, and frame by frame (window 0). Prints, as JSON, the share of labels that
change and quantiles of how many frames the peak moves by.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from merrflow.core.faces import Face
from merrflow.core.measurements import ActionUnitSeries, Probe
from merrflow.facs import RuleSet, load_rules
from merrflow.stages import label, peak, subject
from merrflow.stages.stage import Skip
from merrflow.store.ledger import existing_ledger

_SERIES, _PROBE = TypeAdapter(ActionUnitSeries), TypeAdapter(Probe)


def _value(kind: TypeAdapter[Any], payload: bytes) -> Any:
    return kind.validate_json(json.dumps(json.loads(payload)["value"]))


def clips(out: Path) -> Iterator[tuple[str, ActionUnitSeries, Probe]]:
    """The clips of a run with their measured series."""
    ledger = existing_ledger(out)
    for found in ledger.results(("action_units", "probe")):
        if found.stages.keys() >= {"action_units", "probe"}:
            series, probe = found.stages["action_units"], found.stages["probe"]
            yield found.name, _value(_SERIES, series), _value(_PROBE, probe)


def thresholds(series: ActionUnitSeries) -> dict[str, float]:
    """By unit, the intensity that separates presence from absence with the fewest errors; no unit without both."""
    found = {}
    faces = [face for frame in series.frames for face in frame.faces]
    for code in {code for face in faces for code in face.intensity}:
        values = np.array([face.intensity[code] for face in faces if code in face.intensity])
        there = np.array([code in face.present for face in faces if code in face.intensity])
        if there.any() and not there.all():
            cuts = np.unique(values)
            errors = [int(((values >= cut) != there).sum()) for cut in cuts]
            found[code] = float(cuts[int(np.argmin(errors))])
    return found


def jittered(series: ActionUnitSeries, noise: float, seed: int) -> ActionUnitSeries:
    """The series with noise in every intensity, and presence as it follows from that."""
    random, limits = np.random.default_rng(seed), thresholds(series)

    def with_noise(face: Face) -> Face:
        shaken = {code: value + random.normal(0, noise) for code, value in sorted(face.intensity.items())}
        values = {code: float(np.clip(value, 0, 5)) for code, value in shaken.items()}
        crossed = {
            code
            for code, limit in limits.items()
            if code in values and (values[code] >= limit) != (face.intensity[code] >= limit)
        }
        return replace(face, intensity=values, present=face.present ^ crossed)

    frames = tuple(replace(frame, faces=tuple(map(with_noise, frame.faces))) for frame in series.frames)
    return replace(series, frames=frames)


def judged(series: ActionUnitSeries, person: Any, probe: Probe, rules: RuleSet) -> tuple[str, int] | None:
    """Label and peak; None if no frame is sure enough."""
    found = peak.find(series, person, rules.peak, probe.shots)
    if isinstance(found, Skip):
        return None
    return label.decide(found, "clip", rules, series.measurable).label, found.index


def measure(out: Path, rules: RuleSet, noise: float, seeds: int) -> dict[str, object]:
    """Labels that change, and how far peaks move, over all clips and seeds."""
    asked = changed = 0
    moved: list[int] = []
    by_clip: dict[str, float] = {}
    for name, series, probe in clips(out):
        person = subject.choose(series, probe.shots, probe.voice_energy)
        plain = None if isinstance(person, Skip) else judged(series, person, probe, rules)
        if plain is None:
            continue
        others = [judged(jittered(series, noise, seed), person, probe, rules) for seed in range(seeds)]
        flips = sum(other is None or other[0] != plain[0] for other in others)
        moved += [abs(other[1] - plain[1]) for other in others if other]
        asked, changed = asked + seeds, changed + flips
        by_clip[name] = round(flips / seeds, 2)
    quantiles = np.quantile(moved, (0.5, 0.75, 0.9, 0.95)).tolist() if moved else []
    return {
        "labels_changed": round(changed / max(asked, 1), 3),
        "moved_median_75_90_95": [round(value) for value in quantiles],
        "changed_by_clip": by_clip,
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", nargs="+", type=Path)
    parser.add_argument("--rules", default="default")
    parser.add_argument("--noise", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=50)
    options = parser.parse_args(arguments)
    rules = load_rules(options.rules)
    single = rules.model_copy(update={"peak": rules.peak.model_copy(update={"window": 0.0})})
    found = {
        str(out): {
            name: measure(out, one, options.noise, options.seeds)
            for name, one in (("window", rules), ("single", single))
        }
        for out in options.out
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
