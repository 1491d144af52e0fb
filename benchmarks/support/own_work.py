"""What a run's own process does for a clip beside decoding it and its pictures: processor time by thread.

The services' engines take no time, and are processes of their own. Linux only: the scheduler's figures count.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import threading
from collections import Counter
from pathlib import Path

from benchmarks.support.fixed_services import ENGINES, Pace, fixed_services
from benchmarks.support.made_up_dataset import make_clips
from merrflow.pipeline.open_session import open_session
from merrflow.pipeline.process_wide import set_for_a_run
from merrflow.pipeline.request import Request
from merrflow_serving.media.video import iter_frames

MEDIA = "stage"  # the threads that decode clips and make pictures
_WARM = 16  # clips before those that count


def own_work(clips: int, film: Path | None) -> dict[str, float]:
    """CPU milliseconds a clip by the threads' names. film: copied so many times; None: a film of 96x64, 12 frames."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_clips(folder / "clips", _WARM + clips, film=film)
        names = sorted(path.stem for path in (folder / "clips").iterdir())
        said = "".join(f"{name},What a day.\n" for name in names)
        (folder / "said.csv").write_text(f"name,sentence\n{said}")
        frames = sum(1 for _ in iter_frames(next((folder / "clips").iterdir())))
        with fixed_services(folder, dict.fromkeys(ENGINES, Pace(0.0, 64)), frames=frames) as running:
            addresses = {f"{name.replace('-', '_')}_address": one.address for name, one in running.items()}
            request = Request(
                (str(folder / "clips"),), str(folder / "out"), str(folder / "said.csv"), overrides=addresses
            )
            return {name: ms / clips for name, ms in asyncio.run(_work(request)).items()}


async def _work(request: Request) -> dict[str, float]:
    async with open_session(request) as session:
        await session.wait_ready()
        names = [clip.name for clip in session.todo]
        with set_for_a_run():
            await session.annotate(names[:_WARM])
            before = _milliseconds()
            outcomes = await session.annotate(names[_WARM:])
            after = _milliseconds()
        named = {thread.native_id: re.sub(r"[-_]*\d+", "", thread.name) for thread in threading.enumerate()}
    assert len(outcomes) == 1, f"not all clips are done: {outcomes}"
    spent: Counter[str] = Counter()
    for thread, now in after.items():
        spent[named.get(thread, "gRPC's own")] += now - before.get(thread, 0.0)
    return dict(spent)


def _milliseconds() -> dict[int, float]:
    """Of each thread of this process, how long it was on a core."""
    found = {}
    for place in Path("/proc/self/task").iterdir():
        try:
            found[int(place.name)] = int((place / "schedstat").read_text().split()[0]) / 1e6
        except OSError:  # it has ended
            continue
    return found
