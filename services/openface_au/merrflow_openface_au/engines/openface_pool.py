"""Many clips over a few processes: who shares one, who is to blame when one fails, who is run again."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from merrflow_openface_au.engines.openface_clip import VideoFacts
from merrflow_openface_au.engines.openface_process import Ended
from merrflow_openface_au.types import Source, VideoResult
from merrflow_serving.errors import EngineFault, MerrflowError, NotReady
from merrflow_serving.media.openface_csv import OpenFaceError


@dataclass(frozen=True)
class Job:
    """One clip on its way through."""

    place: int  # in the batch
    source: Source
    facts: VideoFacts
    anew: bool  # written anew for OpenFace instead of handed over as it is


@dataclass(frozen=True)
class Settled:
    """What a run brought: results and errors, and who must run again, together."""

    results: dict[int, VideoResult | MerrflowError]
    again: tuple[tuple[Job, ...], ...] = ()


RunGroup = Callable[[Sequence[Job]], Settled]


def share(jobs: Sequence[Job], processes: int, most: int) -> list[tuple[Job, ...]]:
    """Groups of at most `most` clips, one group or more for each process, of about the same number of frames.

    Longest first, each into the group with the fewest frames (Graham's LPT rule), so that all end together. Within
    a group the clips keep that order.
    """
    if not jobs:
        return []
    count = max(min(processes, len(jobs)), -(-len(jobs) // most))
    groups: list[list[Job]] = [[] for _ in range(count)]
    heap = [(0, index) for index in range(count)]
    for job in sorted(jobs, key=lambda job: len(job.facts.timestamps), reverse=True):
        frames, index = heapq.heappop(heap)
        groups[index].append(job)
        if len(groups[index]) < most:
            heapq.heappush(heap, (frames + len(job.facts.timestamps), index))
    return [tuple(group) for group in groups]


def run_all(groups: Sequence[Sequence[Job]], run: RunGroup, threads: ThreadPoolExecutor) -> Settled:
    """Runs all groups, as many at once as there are threads, and what must run again until nothing is left."""
    results: dict[int, VideoResult | MerrflowError] = {}
    waiting: set[Future[Settled]] = {threads.submit(run, group) for group in groups}
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            settled = future.result()
            results |= settled.results
            waiting |= {threads.submit(run, group) for group in settled.again}
    return Settled(results)


def settle(group: Sequence[Job], ended: Ended, read: Callable[[Job, Path], VideoResult]) -> Settled:
    """Who of the group has a result, who is to blame, who must run again.

    A clip is finished where the process went on to the next or ended well: an earlier CSV may be cut off, or lack
    the corrections that OpenFace makes at a video's end. The clip whose turn it was when the process failed is to
    blame, as is one that was passed over or has a broken CSV; those whose turn did not come run again without it.
    Where nothing tells who is to blame, each runs again alone. Each run settles, parts or rewrites something, so
    that the runs end. `read` raises `OpenFaceError`.
    """
    results: dict[int, VideoResult | MerrflowError] = {}
    rest: list[Job] = []
    anew: list[Job] = []
    last = ended.begun[-1] if ended.begun else None
    for index, job in enumerate(group):
        if index not in ended.begun:
            rest.append(job)
            continue
        cut = index == last and not ended.clean
        path = ended.results.get(index)
        if path is not None and not cut:
            try:
                results[job.place] = read(job, path)
                continue
            except OpenFaceError as error:
                fault = f"OpenFace's results cannot be used: {_without_folder(error, path)}"
        elif cut:
            fault = ended.fault
        else:
            fault = f"FeatureExtraction wrote no results for this video: {ended.tail}".rstrip(": ")
        # Written anew, a file that its decoder cannot open or counts differently may do; a crash would come again.
        if not job.anew and (ended.clean or (index == last and ended.unopened)):
            anew.append(replace(job, anew=True))
        else:
            results[job.place] = EngineFault(fault, reason="OPENFACE_TIMEOUT" if _stood(ended, cut) else "OPENFACE")
    if len(rest) == len(group):
        if len(group) == 1:
            reason = "OPENFACE_TIMEOUT" if _stood(ended, True) else "OPENFACE"
            return Settled({group[0].place: EngineFault(_unstarted(ended), reason=reason)})
        return Settled({}, tuple((job,) for job in rest))
    return Settled(results, tuple(tuple(one) for one in (rest, anew) if one))


def stopped(group: Sequence[Job]) -> Settled:
    """The service is going away; the caller may try again elsewhere."""
    return Settled({job.place: NotReady("the service is stopping") for job in group})


def _stood(ended: Ended, cut: bool) -> bool:
    return cut and ended.code is None


def _unstarted(ended: Ended) -> str:
    if ended.clean:
        return f"FeatureExtraction wrote no results: {ended.tail}".rstrip(": ")
    return ended.fault


def _without_folder(error: OpenFaceError, path: Path) -> str:
    """The private folder says nothing to anyone."""
    return str(error).replace(str(path), "CSV")
