"""A FeatureExtraction that is none: it behaves like OpenFace's two command lines, and misbehaves as a plan says.

`install` writes a script; beside it lie `plan.json`, which says by a clip's sha256 what is to happen, and
`calls.jsonl`, in which the script notes how it was called. The script is standard library only and starts without
site-packages; where the plan gives no CSV it writes rows without a face.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

HEADER = "frame, {face_id}timestamp, confidence, success, AU12_r, AU12_c"


def install(folder: Path, *, version: int = 2, plan: dict[str, Any] | None = None) -> Path:
    """Writes the script below `folder` and returns its path. `plan`: see `Fake`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(json.dumps(plan or {}))
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "main.txt").write_text("weights")
    told = "face_id" if version == 2 else "-no" + "Mparams"  # what the real binaries have in their bytes
    binary = folder / "FeatureExtraction"
    binary.write_text(
        f"#!{sys.executable} -IS\n# {told}\nimport sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"from fake_openface import Fake\nsys.exit(Fake(sys.argv, {version}).run())\n"
    )
    binary.chmod(0o755)
    return binary


def replan(binary: Path, plan: dict[str, Any]) -> None:
    (binary.parent / "plan.json").write_text(json.dumps(plan))


def calls(binary: Path) -> list[dict[str, Any]]:
    """Every call so far: `clips` (sha256 of each), `arguments`, `nice`, `pid`, `env`, `network`, `cwd`."""
    path = binary.parent / "calls.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def alive_below(folder: Path) -> list[str]:
    """Processes that work below a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str((process / "cwd").readlink()).startswith(str(folder)):
                found.append((process / "cmdline").read_text())
        except OSError:
            continue  # ended, or another user's
    return found


class Fake:
    """One call. The plan has, by a clip's sha256 or "*":

    `csv`: a file of OpenFace 1 to write; else `frames`: so many rows without a face. `seconds`: how long that takes.
    `do`: crash, exit, hang, half (stops in a row, ends well), missing, unopenable, crash_late (after the CSV).
    For the whole run: `start_seconds`, `start_exit`, `silent` (says nothing), `ignores` (options not known),
    `first_only` (does the first -f alone).
    """

    def __init__(self, arguments: list[str], version: int) -> None:
        self.here = Path(arguments[0]).resolve().parent
        self.version = version
        self.plan = json.loads((self.here / "plan.json").read_text())
        ignored = set(self.plan.get("ignores", ()))
        takes = {"-f", "-of", "-out_dir"}
        given: dict[str, list[str]] = {name: [] for name in takes}
        index = 1
        while index < len(arguments):
            name = arguments[index]
            if name in takes:
                index += 1
                if name not in ignored and not (name == "-out_dir" and version == 1):
                    given[name].append(arguments[index])
            index += 1
        self.clips, self.outputs, self.out_dir = given["-f"], given["-of"], given["-out_dir"]
        self.aus = version == 1 or ("-aus" in arguments and "-aus" not in ignored)
        self.arguments = arguments

    def say(self, text: str) -> None:
        if not self.plan.get("silent"):
            print(text, flush=True)

    def run(self) -> int:
        self._note()
        time.sleep(self.plan.get("start_seconds", 0))
        if "start_exit" in self.plan:
            print("ERROR: Could not load the landmark detector", flush=True)
            return self.plan["start_exit"]
        for index, clip in enumerate(self.clips[:1] if self.plan.get("first_only") else self.clips):
            what = self.plan.get(digest(Path(clip).read_bytes()), self.plan.get("*", {}))
            self.say(f"Attempting to read from file: {clip}")
            if what.get("do") == "unopenable":
                if self.version == 1:
                    self.say("Fatal error: Failed to open video source, exiting")
                    return 1
                self.say(f"Failed to open the video file at location: {clip}")
                return 0
            self._one(Path(clip), index, what)
        return 0

    def _one(self, clip: Path, index: int, what: dict[str, Any]) -> None:
        do = what.get("do")
        self.say("Device or file opened\nStarting tracking")
        print("0% 10% ", end="", flush=True)
        if do == "crash":
            print("libc++abi: something is wrong with this clip", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        if do == "exit":
            print("ERROR: out of luck", flush=True)
            os._exit(3)
        if do == "missing":
            print(flush=True)
            return
        text = self._table(what)
        path = self._output(clip, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            file.write(text[: len(text) // 2])
            file.flush()
            if do == "hang":
                subprocess.Popen([sys.executable, "-IS", "-c", "import time; time.sleep(600)"])
                time.sleep(600)
            time.sleep(what.get("seconds", 0))
            if do == "half":
                print(flush=True)
                return
            file.write(text[len(text) // 2 :])
        print("100% ", flush=True)
        self.say("Closed successfully")
        if do == "crash_late":
            os.kill(os.getpid(), signal.SIGABRT)

    def _output(self, clip: Path, index: int) -> Path:
        name = self.outputs[index] if index < len(self.outputs) else f"{clip.stem}.csv"
        if self.version == 1:
            return Path(name)
        return Path(self.out_dir[0] if self.out_dir else "processed") / name

    def _table(self, what: dict[str, Any]) -> str:
        if "csv" not in what:
            face_id = "face_id, " if self.version == 2 else ""
            rows = [HEADER.format(face_id=face_id)]
            value = "0, " if self.version == 2 else ""
            rows += [f"{i + 1}, {value}{i / 25:.3f}, 0.02, 0, 0, 0" for i in range(what.get("frames", 1))]
            if not self.aus:
                rows = [row.rsplit(", ", 2)[0] for row in rows]
            return "\n".join(rows) + "\n"
        lines = Path(what["csv"]).read_text().splitlines()
        if self.version == 2:  # one column more, and no blanks
            lines = [
                line.replace(" ", "").replace(",", ",face_id," if i == 0 else ",0,", 1) for i, line in enumerate(lines)
            ]
        return "\n".join(lines) + "\n"

    def _note(self) -> None:
        try:
            socket.socket(socket.AF_INET).close()
            network = True
        except OSError:
            network = False
        note = {
            "clips": [digest(Path(clip).read_bytes()) for clip in self.clips],
            "arguments": self.arguments[1:],
            "nice": os.nice(0),
            "pid": os.getpid(),
            "cwd": os.getcwd(),
            "env": dict(os.environ),
            "network": network,
        }
        with (self.here / "calls.jsonl").open("a") as file:
            file.write(json.dumps(note) + "\n")
