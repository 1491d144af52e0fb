"""One whole run of a few clips through real gRPC services whose engines compute on the card.

    python -m benchmarks.gpu_run                  # examples/clips, on the first CUDA device
    python -m benchmarks.gpu_run --device cpu

llama3 (transformers) and qwen-audio (qwen_audio) have tiny random weights in the original files' formats, made by the
tests, so it is loading, batching, the wire and the ledger that are tried, not what the models say. MiniGPT-v2's engine
loads the published shape only: the scene is described by `measured`. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.support.processes import MERRFLOW
from merrflow_serving.catalog import SERVICES

ROOT = Path(__file__).parents[1]
_SECONDS = 280


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_run", description=__doc__)
    parser.add_argument("--device", default="cuda", help="cpu, cuda or cuda:1")
    parser.add_argument("--clips", type=Path, default=ROOT / "examples" / "clips")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="gpu-run-") as folder:
        print(json.dumps(run(Path(folder), options.clips, options.device)))


def run(folder: Path, clips: Path, device: str) -> dict[str, Any]:
    """Outcomes, seconds, and which engine wrote the tone and the reasoning of the records. Raises `SystemExit` with the
    command's last words if the run fails."""
    environment = os.environ | _engines(folder / "weights", device)
    out, started = folder / "out", time.perf_counter()
    command = [*MERRFLOW, "run", str(clips), "--out", str(out)]
    table = clips / "transcripts.csv"
    command += ["--transcripts", str(table)] if table.exists() else []
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise SystemExit(
            f"merrflow run: exit code {done.returncode}: {' '.join((done.stdout + done.stderr).split())[-600:]}"
        )
    seconds = round(time.perf_counter() - started, 1)
    records = [json.loads(line) for line in (out / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    status = [*MERRFLOW, "status", "--out", str(out), "--json"]
    told = json.loads(subprocess.run(status, capture_output=True, text=True, check=True, timeout=_SECONDS).stdout)
    origins = [record["origins"] for record in records]
    engines = Counter(f"{clue}: {one[clue]['engine']}" for one in origins for clue in sorted(one))
    return {"benchmark": "gpu_run", "seconds": seconds, "outcomes": told["outcomes"], "engines": dict(engines)}


def _engines(folder: Path, device: str) -> dict[str, str]:
    """Environment of the services, whose weights are written into `folder`."""
    from tests.services.llama3.tiny_llama import write_tiny_llama
    from tests.services.qwen_audio.qwen_checkpoints import weights, write

    write_tiny_llama(folder / "llama3")
    write(folder / "qwen-audio", weights())
    found = {"MERRFLOW_OFFLINE": "1", "MERRFLOW_ASR": "off"}
    for name, engine in (("llama3", "transformers"), ("qwen-audio", "qwen_audio")):
        prefix = SERVICES[name].env_prefix
        found |= {f"{prefix}ENGINE": engine, f"{prefix}WEIGHTS": str(folder / name), f"{prefix}DEVICE": device}
    return found


if __name__ == "__main__":
    main()
