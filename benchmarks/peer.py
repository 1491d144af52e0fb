"""merrflow beside MER-Factory, the public peer that does the same job: clips a minute, processor time and memory.

    python -m benchmarks.peer --peer FOLDER               # both, in turns; peer.md says how to get it
    python -m benchmarks.peer                             # merrflow alone
    python -m benchmarks.peer --clip A.mp4 --action-units A.csv --clips 50

Copies of one clip, which differ in a few bytes after the film, with Action Units (and, for merrflow, what is said)
given. Every model takes `--latency` seconds. MER-Factory asks an endpoint of OpenAI's protocol, with 4 clips at once,
its default, and with 16. merrflow asks its four services: once with engines that take that time for a batch
(support/fixed_services.py), once with the engine `openai`, on the same endpoint. Both are timed as a command, from its
start to its end; endpoint and services run before. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

from benchmarks.support.fixed_services import ENGINES, Pace, fixed_services
from benchmarks.support.forgetful_service import openai_service
from benchmarks.support.made_up_dataset import make_clips
from benchmarks.support.peer_models import endpoint
from benchmarks.support.process_tree import Used, run_tree
from benchmarks.support.processes import MERRFLOW, own_cpu_seconds
from benchmarks.support.smile_csv import write_smile
from merrflow_serving.catalog import SERVICES
from merrflow_serving.media.video import iter_frames

FILM = Path(__file__).parents[1] / "examples/clips/surprise_visit.mp4"  # 640x360, 3.4 s
START = Path(__file__).parent / "support/start_peer.py"
SOURCE = "https://github.com/Lum1104/MER-Factory (MIT); benchmarks/peer.md says which version"
CALLS = 4  # of models for a clip, by either
BATCH = 16
WORDS = "Do you believe that you push me around?"
ASKED = tuple(name for name in ENGINES if name != "openface-au")  # Action Units are given


@dataclass(frozen=True)
class Inputs:
    """What both are given."""

    clips: Path
    action_units: Path  # a folder with a CSV for each clip
    transcripts: Path
    names: tuple[str, ...]
    frames: int  # of each clip
    home: Path  # of Prefect, so that no server of this machine's user is met


@dataclass(frozen=True)
class Row:
    """One command over all clips."""

    name: str
    clips: int
    used: Used
    calls: int | None = None  # that reached the endpoint
    services_cpu_seconds: float = 0.0  # of merrflow's services meanwhile

    @property
    def clips_a_minute(self) -> float:
        """Start and end of the command included."""
        return 60 * self.clips / self.used.seconds

    @property
    def cpu_ms_a_clip(self) -> float:
        """Of the command with its children."""
        return 1000 * self.used.cpu_seconds / self.clips

    @property
    def services_ms_a_clip(self) -> float:
        return 1000 * self.services_cpu_seconds / self.clips

    def line(self) -> str:
        """For the screen, and a row of the table in peer.md."""
        return (
            f"| {self.name} | {self.clips_a_minute:.0f} | {self.cpu_ms_a_clip:.0f} | {self.services_ms_a_clip:.0f} | "
            f"{self.used.own_mib:.0f} | {self.used.tree_mib:.0f} | {self.used.load:.1f} |"
        )

    def numbers(self) -> dict[str, Any]:
        """For the JSON object."""
        used = {name: value for name, value in asdict(self.used).items() if name != "printed"}
        rates = {"clips_a_minute": self.clips_a_minute, "cpu_ms_a_clip": self.cpu_ms_a_clip}
        return (
            {"name": self.name, "calls": self.calls, "services_cpu_ms_a_clip": self.services_ms_a_clip} | rates | used
        )


HEAD = """\
| | clips a minute | CPU ms a clip | of its services | MiB | MiB with children | load |
|---|---:|---:|---:|---:|---:|---:|"""


def prepare(folder: Path, film: Path, action_units: Path | None, count: int) -> Inputs:
    """`count` copies of the film, each with its CSV, and a table of sentences. action_units: None for a smile."""
    make_clips(folder / "clips", count, film=film)  # makes `folder`, too
    names = tuple(f"clip_{number:05}" for number in range(count))
    frames = [(frame.raw.width, frame.raw.height, frame.timestamp) for frame in iter_frames(film)]
    if action_units is None:
        width, height, last = frames[-1]
        action_units = folder / "smile.csv"
        write_smile(action_units, len(frames), width=width, height=height, fps=(len(frames) - 1) / last)
    (folder / "csv").mkdir()
    for name in names:
        shutil.copyfile(action_units, folder / "csv" / f"{name}.csv")
    table = folder / "transcripts.csv"
    table.write_text("name,sentence\n" + "".join(f'{name},"{WORDS}"\n' for name in names))
    return Inputs(folder / "clips", folder / "csv", table, names, len(frames), folder / "prefect")


def run_peer(peer: Path, python: Path, inputs: Inputs, latency: float, concurrency: int, folder: Path) -> Row:
    """MER-Factory over all clips; OpenFace's output is in its folder already, so that it skips that step."""
    out = folder / "out"
    for name in inputs.names:
        (out / name).mkdir(parents=True)
        shutil.copyfile(inputs.action_units / f"{name}.csv", out / name / f"{name}.csv")
    command = [str(python), str(START), str(inputs.clips), str(out), "--type", "MER", "--silent"]
    command += ["--chatgpt-model", "gpt-4o", "--concurrency", str(concurrency)]
    with endpoint(latency) as (url, end):
        own = {"OPENAI_API_KEY": "none", "OPENAI_API_BASE": url, "OPENAI_BASE_URL": url}
        # It only looks whether there is such a file.
        used = run_tree(command, environment=plain() | own | {"OPENFACE_EXECUTABLE": sys.executable}, cwd=peer)
        calls = end()
    done = sum(1 for name in inputs.names if (out / name / f"{name}_merr_data.json").exists())
    count = len(inputs.names)
    if (done, calls) != (count, CALLS * count):
        raise RuntimeError(f"MER-Factory finished {done} of {count} clips with {calls} calls:\n{used.printed[-2000:]}")
    return Row(f"MER-Factory, {concurrency} clips at once", count, used, calls)


def run_fixed(inputs: Inputs, latency: float, folder: Path) -> Row:
    """merrflow over all clips with services that take `latency` for a batch."""
    with fixed_services(folder, dict.fromkeys(ENGINES, Pace(latency, BATCH)), frames=inputs.frames) as running:
        pids = [one.pid for one in running.values()]
        addresses = {name: one.address for name, one in running.items()}
        return _run_merrflow("merrflow, services of a fixed time", inputs, folder / "out", addresses, pids)


def run_openai(inputs: Inputs, latency: float, folder: Path) -> Row:
    """merrflow over all clips with the engine `openai`, on the endpoint."""
    with ExitStack() as stack:
        url, end = stack.enter_context(endpoint(latency))
        unused = stack.enter_context(fixed_services(folder, {"openface-au": Pace(latency, BATCH)}))
        addresses = {name: one.address for name, one in unused.items()}
        running = {name: stack.enter_context(openai_service(name, url, folder, plain())) for name in ASKED}
        addresses |= {name: address for name, (address, _) in running.items()}
        pids = [pid for _, pid in running.values()]
        row = _run_merrflow("merrflow, engine `openai`", inputs, folder / "out", addresses, pids)
        calls = end()
    if calls < CALLS * row.clips:  # and a few when the services start
        raise RuntimeError(f"merrflow's services made {calls} calls for {row.clips} clips, not {CALLS} a clip")
    return replace(row, calls=calls)


def _run_merrflow(name: str, inputs: Inputs, out: Path, addresses: dict[str, str], services: list[int]) -> Row:
    environment = plain() | {f"{SERVICES[one].env_prefix}ADDRESS": address for one, address in addresses.items()}
    environment["PREFECT_HOME"] = str(inputs.home)
    command = [*MERRFLOW, "run", str(inputs.clips), "--out", str(out), "--action-units-from", str(inputs.action_units)]
    command += ["--transcripts", str(inputs.transcripts)]
    before = sum(own_cpu_seconds(pid, waited_for=True) for pid in services)
    used = run_tree(command, environment=environment)
    spent = sum(own_cpu_seconds(pid, waited_for=True) for pid in services) - before
    records = out / "records.jsonl"
    texts = [json.loads(line)["reasoning"] for line in records.read_text().splitlines()] if records.exists() else []
    if sum(bool(text) for text in texts) != len(inputs.names):
        raise RuntimeError(f"merrflow finished {len(texts)} of {len(inputs.names)} clips:\n{used.printed[-2000:]}")
    return Row(name, len(inputs.names), used, None, spent)


def plain() -> dict[str, str]:
    """This process's environment without what would set addresses, servers or models for either."""
    own = ("MERRFLOW_", "PREFECT_", "OPENAI_", "GOOGLE_")
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}


def summary(rows: list[Row]) -> list[str]:
    """Each of merrflow's rows as a ratio to each of the peer's, between medians of the rounds."""
    rates: dict[str, list[float]] = {}
    for row in rows:
        rates.setdefault(row.name, []).append(row.clips_a_minute)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    peers = {name: found for name, found in medians.items() if name.startswith("MER-Factory")}
    return [
        f"{name}: {medians[name] / found:.2f} times {peer}"
        for name in medians.keys() - peers.keys()
        for peer, found in peers.items()
    ]


def main() -> None:
    given = _options()
    python = given.peer_python or (given.peer and given.peer / ".venv/bin/python")
    if given.peer and not ((given.peer / "main.py").exists() and python.exists()):
        raise SystemExit(f"{given.peer}: no main.py there, or no Python {python}: see benchmarks/peer.md")
    found: dict[str, Any] = {"benchmark": "peer", "cores": os.cpu_count(), "latency": given.latency}
    found |= {"clip": given.clip.name, "date": time.strftime("%Y-%m-%d"), "load": os.getloadavg()[0]}
    rows: list[Row] = []
    if not given.peer:
        print(f"merrflow alone; the peer is {SOURCE}")
    print(HEAD, flush=True)
    with tempfile.TemporaryDirectory(prefix="merrflow-benchmark-") as name:
        place = Path(name)
        inputs = prepare(place / "given", given.clip, given.action_units, given.clips)
        one = replace(prepare(place / "one", given.clip, given.action_units, 1), home=inputs.home)
        for number, way in enumerate(
            _ways(given, python, one)[:2]
        ):  # so that files are read and Prefect's home is made
            way(_made(place / f"warm-{number}"))
        for number, way in enumerate(given.rounds * _ways(given, python, inputs)):
            rows.append(way(_made(place / f"run-{number}")))
            print(rows[-1].line(), flush=True)
    print("\n".join(sorted(summary(rows))))
    print(json.dumps(found | {"rows": [row.numbers() for row in rows]}, default=str))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _ways(given: argparse.Namespace, python: Path, inputs: Inputs) -> list[Callable[[Path], Row]]:
    """The commands of a round, the peer's and merrflow's in turns."""
    own = [partial(run, inputs, given.latency) for run in (run_fixed, run_openai)]
    peers = [partial(run_peer, given.peer, python, inputs, given.latency, many) for many in given.concurrency]
    turns = zip_longest(peers if given.peer else [], own)
    return [way for turn in turns for way in turn if way]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, help="MER-Factory's folder")
    parser.add_argument("--peer-python", type=Path, help="its Python (default: .venv/bin/python in its folder)")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--clip", type=Path, default=FILM, help=f"an mp4 file (default: {FILM.name} of the examples)")
    parser.add_argument("--action-units", type=Path, help="OpenFace's CSV of the clip (default: a smile is made up)")
    parser.add_argument("--latency", type=float, default=0.3, help="seconds of every call or batch")
    parser.add_argument(
        "--concurrency", type=int, nargs="+", default=[4, 16], help="clips that the peer works on at once"
    )
    parser.add_argument("--rounds", type=int, default=1)
    given = parser.parse_args()
    for name in ("peer", "peer_python", "clip", "action_units"):
        if getattr(given, name):
            setattr(given, name, getattr(given, name).absolute())
    return given


if __name__ == "__main__":
    main()
