"""Many clips over a few processes: how they are grouped, which clip is at fault if a process fails, what runs again."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from merrflow_openface_au.engines.openface.clip import VideoFacts
from merrflow_openface_au.engines.openface.process import ProcessResult
from merrflow_openface_au.types import Source, VideoResult
from merrflow_serving.errors import Abandoned, EngineFault, MerrflowError, NotReady
from merrflow_serving.media.openface_csv import OpenFaceError


@dataclass(frozen=True)
class Job:
    """One clip of a batch."""

    index: int  # in the batch
    source: Source
    facts: VideoFacts
    rewrite: bool  # rewritten for OpenFace instead of given to it as it is
    is_wanted: Callable[[], bool] = lambda: True  # whether anybody still waits for its result


@dataclass(frozen=True)
class GroupOutcome:
    """The outcome of a run: results and errors by index in the batch, and the groups that must run again."""

    results: dict[int, VideoResult | MerrflowError]
    again: tuple[tuple[Job, ...], ...] = ()


RunGroup = Callable[[Sequence[Job]], GroupOutcome]


def make_groups(jobs: Sequence[Job], processes: int, most: int) -> list[tuple[Job, ...]]:
    """Groups of at most `most` clips, at least one group per process if there are enough, of about as many frames each.

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


def run_all(groups: Sequence[Sequence[Job]], run: RunGroup, threads: ThreadPoolExecutor) -> GroupOutcome:
    """Runs all groups, as many at once as there are threads, and again what must run again, until nothing is left."""
    results: dict[int, VideoResult | MerrflowError] = {}
    waiting: set[Future[GroupOutcome]] = {threads.submit(run, group) for group in groups}
    while waiting:
        done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            outcome = future.result()
            results |= outcome.results
            waiting |= {threads.submit(run, group) for group in outcome.again}
    return GroupOutcome(results)


def evaluate_run(group: Sequence[Job], ended: ProcessResult, read: Callable[[Job, Path], VideoResult]) -> GroupOutcome:
    """Which clips of the group have a result, which are at fault, and which must run again.

    A clip is finished if the process went on to the next one or exited with 0: an earlier CSV may be cut off, or may
    not have the corrections that OpenFace makes at a video's end. At fault is the clip that was being processed when
    the process failed, and any clip that was skipped or has a broken CSV; clips that were not reached run again
    without it. If nothing shows which clip is at fault, each runs again alone. Every run settles, splits or rewrites
    something, so the runs end. `read` raises `OpenFaceError`.
    """
    results: dict[int, VideoResult | MerrflowError] = {}
    rest: list[Job] = []
    rewritten: list[Job] = []
    last = ended.begun[-1] if ended.begun else None
    for index, job in enumerate(group):
        if index not in ended.begun:
            rest.append(job)
            continue
        cut = index == last and not ended.clean
        path = ended.results.get(index)
        if path is not None and not cut:
            try:
                results[job.index] = read(job, path)
                continue
            except OpenFaceError as error:
                # The private folder's path means nothing to the reader.
                fault = f"OpenFace's results cannot be used: {str(error).replace(str(path), 'CSV')}"
        elif cut:
            fault = ended.fault
        else:
            fault = f"FeatureExtraction wrote no results for this video: {ended.tail}".rstrip(": ")
        # A file that OpenFace's decoder cannot open, or counts differently, may work rewritten; a crash would recur.
        if not job.rewrite and (ended.clean or (index == last and ended.unopened)):
            rewritten.append(replace(job, rewrite=True))
        else:
            results[job.index] = EngineFault(fault, reason=_reason(ended, cut))
    if len(rest) == len(group):
        if len(group) == 1:
            fault = f"FeatureExtraction wrote no results: {ended.tail}".rstrip(": ") if ended.clean else ended.fault
            return GroupOutcome({group[0].index: EngineFault(fault, reason=_reason(ended, True))})
        return GroupOutcome({}, tuple((job,) for job in rest))
    return GroupOutcome(results, tuple(tuple(jobs) for jobs in (rest, rewritten) if jobs))


def stopping_outcome(group: Sequence[Job]) -> GroupOutcome:
    """`NotReady` for every clip: the service is stopping, and the caller may try another one."""
    return GroupOutcome({job.index: NotReady("the service is stopping") for job in group})


def abandoned_outcome(group: Sequence[Job]) -> GroupOutcome:
    """`Abandoned` for every clip: its caller has left."""
    return GroupOutcome({job.index: Abandoned() for job in group})


def _reason(ended: ProcessResult, cut: bool) -> str:
    """cut: whether the process ended while it worked on this clip."""
    return "OPENFACE_TIMEOUT" if cut and ended.code is None else "OPENFACE"
