"""Coverage-guided mutations of one target: `python -m tests.fuzz.guided TARGET --seconds 60`; needs atheris.

Targets are the readers of text files (targets.py) and the RPCs (services.py), such as `rules` or `llama3/Reason`; `all`
shares the seconds out among them. What must hold of each answer is the same as for files.py and messages.py. Prints
each find and where its input was put. Exit code 1 where something was found, 2 where atheris is not installed.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz import requests
from tests.fuzz.mutate import WORDS
from tests.fuzz.seeds import TEXTS, seeds

FINDS = Path(__file__).parent / "finds"
TARGETS = (*sorted(TEXTS), *(label.replace(" ", "/") for label in requests.TYPES))
DEADLINE = 20  # seconds for one case
RESIDENT_MIB = 2048
START = 120.0  # seconds for imports, and for the last case's end
PARTS = b"\xffpart\xff"  # between the messages of a stream
MISSING = "atheris is not installed; it has wheels for Python 3.11 to 3.13 on Linux (x86-64): pip install atheris"
# How libFuzzer ends (FuzzerOptions.h).
ENDS = {70: f"hangs for more than {DEADLINE} s", 71: f"takes more than {RESIDENT_MIB} MiB", 77: "crashes the process"}


@dataclass(frozen=True)
class Result:
    """What a run found. `finds`: the file with the input, and what was wrong."""

    cases: int
    grown: int  # inputs that reached code which none before had
    finds: tuple[tuple[str, str], ...]


def guided(target: str, seconds: float, out: Path, *, corpus: Path | None = None, seed: int = 1) -> Result:
    """Runs a target in a process of its own. out: a folder for finds. corpus: one that keeps what reached new code."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        kept = corpus or place / "corpus"
        begin(target, kept, place)
        before = set(out.iterdir())
        options = (
            f"-max_total_time={max(1, round(seconds))}",
            f"-timeout={DEADLINE}",
            f"-rss_limit_mb={RESIDENT_MIB + _inherited_mib()}",
        )
        files = (f"-dict={place / 'words'}", f"-artifact_prefix={out}/{target.replace('/', '-')}-", str(kept))
        command = [sys.executable, "-m", "tests.fuzz.guided_child", target, str(place / "media"), str(out)]
        command += [*options, f"-seed={seed}", "-print_final_stats=1", "-verbosity=0", *files]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds + START)
        except subprocess.TimeoutExpired:
            return Result(0, 0, (("-", f"does not end within {seconds + START:g} s"),))
        finds = re.findall(r"^find (\S+) (.*)$", done.stdout, re.MULTILINE)
        if done.returncode:
            new = sorted(map(str, set(out.iterdir()) - before - {Path(name) for name, _ in finds}))
            last = " ".join(done.stderr.split())[-300:]
            finds.append((" ".join(new) or "-", ENDS.get(done.returncode, f"exit code {done.returncode}: {last}")))
    stats = dict(re.findall(r"^stat::(\w+):\s+(\d+)$", done.stderr, re.MULTILINE))
    cases, grown = (int(stats.get(name, 0)) for name in ("number_of_executed_units", "new_units_added"))
    return Result(cases, grown, tuple(finds))


def _inherited_mib() -> int:
    """A new process counts the peak memory of the one that starts it as its own; of pytest's that may be gigabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def begin(target: str, corpus: Path, place: Path) -> None:
    """Writes what the mutations start from: whole inputs, the finds of earlier runs, words; and the RPCs' media."""
    corpus.mkdir(parents=True, exist_ok=True)
    (place / "media").mkdir()
    label = target.replace("/", " ")
    if label in requests.TYPES:
        whole = requests.whole(label, place / "media")
        starts = [*whole, *([PARTS.join(whole)] if label.endswith("Stream") else [])]
    else:
        starts = [*seeds(target), *(path.read_bytes() for path in sorted(FINDS.glob(f"{target}-*")))]
    for number, start in enumerate(starts):
        (corpus / f"start-{number}").write_bytes(start)
    short = [word.encode(errors="replace") for word in WORDS if len(word) <= 40]
    quoted = ("".join(f"\\x{byte:02x}" for byte in word) for word in (*short, PARTS))
    (place / "words").write_text("".join(f'"{word}"\n' for word in quoted))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=[*TARGETS, "all"])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="folder that keeps what reached new code, for the next run")
    parser.add_argument("--out", type=Path, default=Path("fuzz-finds"), help="folder for finds (fuzz-finds)")
    given = parser.parse_args(arguments)
    if find_spec("atheris") is None:
        print(MISSING, file=sys.stderr)
        return 2
    targets = TARGETS if given.target == "all" else (given.target,)
    cases = found = 0
    for target in targets:
        corpus = given.corpus and given.corpus / target.replace("/", "-")
        result = guided(target, given.seconds / len(targets), given.out, corpus=corpus, seed=given.seed)
        for path, what in result.finds:
            print(f"{target}: {what}\n  {path}")
        print(f"{target}: {result.cases} cases, {result.grown} reached new code, {len(result.finds)} finds", flush=True)
        cases, found = cases + result.cases, found + len(result.finds)
    print(json.dumps({"program": "fuzz.guided", "target": given.target, "cases": cases, "finds": found}))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
