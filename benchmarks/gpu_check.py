"""The steps of gpu_check.yaml, one after the other, each in a process of its own and all within the time.

    benchmarks/gpu_check.sh                 # on a machine with a CUDA card
    benchmarks/gpu_check.sh --rehearse      # the same on a CPU with tiny shapes

A step that fails, hangs or takes too long costs no other step its time. The last line is one JSON object; exit code 1
if a step failed or was late.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from benchmarks.support.check_table import markdown

ROOT = Path(__file__).parents[1]
STEPS = Path(__file__).with_suffix(".yaml")
_LEAST_SECONDS = 10.0  # a step with less is not begun
_CARD = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]


class Step(BaseModel):
    """One of gpu_check.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    what: str
    seconds: float
    run: tuple[str, ...]
    rehearse: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    figures: bool = False


class Steps(BaseModel):
    """gpu_check.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Done:
    """What became of a step."""

    step: str
    state: Literal["ok", "failed", "late", "left out"]
    seconds: float = 0.0
    words: str = ""  # the last line if it is not figures, or why there are none
    figures: dict[str, Any] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="gpu_check.sh", description=__doc__.partition("\n")[0])
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, with tiny shapes")
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "gpu-check", help="folder for what is written")
    parser.add_argument("--minutes", type=float, default=9.0, help="for all steps together; default: 9")
    parser.add_argument("--steps", type=Path, default=STEPS, help="another file of steps")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    steps = Steps.model_validate(yaml.safe_load(options.steps.read_text(encoding="utf-8"))).steps
    done = check(steps, options.out, options.minutes * 60, rehearse=options.rehearse)
    content = {
        "benchmark": "gpu_check",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "card": card(),
        "rehearsal": options.rehearse,
        "seconds": round(sum(one.seconds for one in done), 1),
        "steps": [asdict(one) for one in done],
    }
    line = json.dumps(content)
    (options.out / "gpu_check.json").write_text(line + "\n", encoding="utf-8")
    (options.out / "gpu_check.md").write_text(markdown(content), encoding="utf-8")
    print(line)
    raise SystemExit(any(one.state in ("failed", "late") for one in done))


def card() -> str:
    """Name, driver and memory as nvidia-smi says them; "none" without one."""
    try:
        said = subprocess.run(_CARD, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "none"
    return "; ".join(said.strip().splitlines()) or "none"


def check(steps: Sequence[Step], out: Path, seconds: float, *, rehearse: bool) -> list[Done]:
    """Runs the steps within `seconds`; each writes to out/NAME.txt."""
    end, done = time.monotonic() + seconds, []
    for step in steps:
        left = end - time.monotonic()
        one = _without(step) or _run(step, out, min(step.seconds, left) if not rehearse else left, rehearse=rehearse)
        print(f"{step.name}: {one.state}, {one.seconds:.0f} s {one.words}".rstrip(), flush=True)
        done.append(one)
    return done


def _without(step: Step) -> Done | None:
    missing = [name for name in step.packages if importlib.util.find_spec(name) is None]
    return Done(step.name, "left out", words=f"without the packages {', '.join(missing)}") if missing else None


def _run(step: Step, out: Path, seconds: float, *, rehearse: bool) -> Done:
    if seconds < _LEAST_SECONDS:
        return Done(step.name, "late", words="no time is left")
    command = [sys.executable, "-m", *((rehearse and step.rehearse) or step.run)]
    file, started = out / f"{step.name}.txt", time.monotonic()
    with file.open("w", encoding="utf-8") as output:
        try:
            code = subprocess.run(
                command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, timeout=seconds, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            return Done(step.name, "late", round(time.monotonic() - started, 1), f"did not end; see {file.name}")
    took = round(time.monotonic() - started, 1)
    last = next(
        (line for line in reversed(file.read_text(encoding="utf-8", errors="replace").splitlines()) if line), ""
    )
    if code:
        return Done(step.name, "failed", took, f"exit code {code}: {last[:300]}; see {file.name}")
    if not step.figures:
        return Done(step.name, "ok", took, last[:300])
    try:
        return Done(step.name, "ok", took, figures=json.loads(last))
    except ValueError:
        return Done(step.name, "failed", took, f"its last line is no JSON: {last[:300]}")


if __name__ == "__main__":
    main()
