"""The clips that benchmarks of the work on a clip read, and a stopwatch for processor time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESEARCH = ROOT.parent / "shared" / "clips"  # television clips, beside the repository; not part of it
OWN = ROOT / "examples" / "clips"


def clips_in(folder: Path | None = None) -> list[Path]:
    """The mp4 files of `folder`, else of the research clips, else of examples/clips; by name.

    Raises `SystemExit` if there is none.
    """
    for place in (folder,) if folder else (RESEARCH, OWN):
        found = sorted(place.glob("*.mp4"))
        if found:
            return found
    raise SystemExit(f"no .mp4 in {folder or OWN}")


class Stopwatch:
    """Processor seconds of this process, all threads, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Adds the time spent inside to `name`."""
        started = time.process_time()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.process_time() - started
