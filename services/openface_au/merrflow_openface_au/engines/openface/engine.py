"""The `openface` engine: OpenFace's own Action Units, computed by its FeatureExtraction binary.

Baltrusaitis, Zadeh, Lim and Morency, "OpenFace 2.0: Facial Behavior Analysis Toolkit", FG 2018. The binary and its
models are not part of merrflow: whoever installs them has accepted their licence (academic, non-commercial).
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import structlog

from merrflow_openface_au.engines.openface.binary import Binary, command_line, extra_arguments, find_binary
from merrflow_openface_au.engines.openface.clip import inspect_clip, link_clip, rewrite_lossless
from merrflow_openface_au.engines.openface.process import ProcessCall, Stopped, run_process
from merrflow_openface_au.engines.openface.results import read_result
from merrflow_openface_au.engines.openface.scheduling import (
    GroupOutcome,
    Job,
    abandoned_outcome,
    evaluate_run,
    make_groups,
    run_all,
    stopping_outcome,
)
from merrflow_openface_au.settings import OpenFaceAuSettings
from merrflow_openface_au.types import Source, VideoResult
from merrflow_serving.engine import EngineInfo, Limits, Wanted, always
from merrflow_serving.errors import Abandoned, EngineFault, MerrflowError, NotReady
from merrflow_serving.machine import cores
from merrflow_serving.media import openface_csv
from merrflow_serving.private_folder import PrivateFolder

log = structlog.get_logger()
LICENCE = "OpenFace licence: academic, non-commercial"
NOTE = (
    "OpenFace's own measures: presence and intensity come from separate models and may disagree; one face in a frame, "
    "which may be another person after a cut"
)


class OpenFaceEngine:
    """Action Units, pose and box of whole videos. Not thread-safe, except for `interrupt`.

    Clips of one process share its fate: it ends early once nobody waits for any of them.
    """

    stops_early = True

    def __init__(self, settings: OpenFaceAuSettings) -> None:
        self._settings = settings
        self._processes = settings.openface_processes or cores()
        self._stop = threading.Event()
        self._binary: Binary | None = None
        self._extra: tuple[str, ...] = ()
        self._folder: PrivateFolder | None = None
        self._threads: ThreadPoolExecutor | None = None

    def load(self) -> None:
        """Finds the binary and makes the private folder. Raises `NotReady` with what to do.

        Each process loads the models itself; the service's warm-up shows whether that works.
        """
        self._extra = extra_arguments(self._settings.openface_arguments)
        self._binary = find_binary(self._settings.openface_binary)
        try:
            self._folder = PrivateFolder("openface", self._settings.openface_folder)
        except OSError as error:
            raise NotReady(
                f"no temporary folder can be made: {error}; free some space, or set "
                "MERRFLOW_OPENFACE_AU_OPENFACE_FOLDER to a folder that can be written to",
                reason="FOLDER",
            ) from error
        self._threads = ThreadPoolExecutor(self._processes, thread_name_prefix="openface")
        log.info("openface", binary=str(self._binary.path), processes=self._processes, licence=LICENCE)

    def interrupt(self) -> None:
        """Makes a running `run` return at once: its processes are killed, and its clips get `NotReady`."""
        self._stop.set()

    def close(self) -> None:
        """Kills what runs and removes the private folder."""
        self.interrupt()
        if self._threads is not None:
            self._threads.shutdown()
            self._threads = None
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    def info(self) -> EngineInfo:
        """Revision: the binary and its models. Prompt version: its arguments, and how its results are read.

        FeatureExtraction has no option that prints its version: the model's name comes from what is in the binary.
        """
        settings = self._settings
        try:
            binary = self._binary or find_binary(settings.openface_binary)
            model, revision = binary.model, binary.revision
        except NotReady:  # `load` says why
            model, revision = "OpenFace", ""
        version = f"{command_line().version} csv-{openface_csv.VERSION} {settings.openface_arguments}".strip()
        return EngineInfo(
            engine="openface",
            model=model,
            revision=revision,
            prompt_version=version,
            licence=LICENCE,
            note=NOTE,
            limits=Limits(
                max_batch_size=self._processes * settings.openface_clips_per_process,
                max_pixels=settings.max_pixels,
                max_frames=settings.max_frames,
            ),
        )

    def run(self, batch: Sequence[Source], wanted: Wanted = always) -> list[VideoResult | MerrflowError]:
        """One result or one error for each video, in order; a video that crashes a process fails alone."""
        if self._threads is None or self._folder is None:
            return [NotReady("the engine is not loaded") for _ in batch]
        results: dict[int, VideoResult | MerrflowError] = {}
        jobs: list[Job] = []
        for index, job in enumerate(self._threads.map(partial(self._inspect, wanted), range(len(batch)), batch)):
            if isinstance(job, Job):
                jobs.append(job)
            else:
                results[index] = job
        groups = make_groups(jobs, self._processes, self._settings.openface_clips_per_process)
        results |= run_all(groups, self._run_group, self._threads).results
        return [results[index] for index in range(len(batch))]

    def _inspect(self, wanted: Wanted, index: int, source: Source) -> Job | MerrflowError:
        if not wanted(index):
            return Abandoned()
        try:
            facts = inspect_clip(source, max_pixels=self._settings.max_pixels, max_frames=self._settings.max_frames)
        except MerrflowError as error:
            return error
        return Job(index, source, facts, facts.needs_rewrite, partial(wanted, index))

    def _run_group(self, group: Sequence[Job]) -> GroupOutcome:
        """Runs one process for those of the clips that are wanted, in a folder of its own. Never raises."""
        left = abandoned_outcome([job for job in group if not job.is_wanted()])
        group = [job for job in group if job.index not in left.results]
        if not group:
            return left
        outcome = self._run_wanted(group)
        return GroupOutcome(left.results | outcome.results, outcome.again)

    def _run_wanted(self, group: Sequence[Job]) -> GroupOutcome:
        folder: Path | None = None
        try:
            if self._stop.is_set() or self._folder is None or self._binary is None:
                return stopping_outcome(group)
            folder = self._folder.make()
            return self._run_in(folder, self._folder.path, self._binary, group)
        except Stopped:
            return stopping_outcome(group) if self._stop.is_set() else abandoned_outcome(group)
        except Exception as error:  # such as a full disk: the error of this group alone
            if len(group) > 1:
                return GroupOutcome({}, tuple((job,) for job in group))
            fault = EngineFault(f"FeatureExtraction could not be run: {type(error).__name__}: {error}")
            fault.__cause__ = error
            return GroupOutcome({group[0].index: fault})
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def _run_in(self, folder: Path, private: Path, binary: Binary, group: Sequence[Job]) -> GroupOutcome:
        settings = self._settings
        inputs, outputs = folder / "in", folder / "out"
        inputs.mkdir()
        outputs.mkdir()
        clips = tuple(self._prepare(job, inputs, _name(index)) for index, job in enumerate(group))
        ended = run_process(
            ProcessCall(
                binary=binary.path,
                extra=self._extra,
                folder=outputs,
                private=private,
                nice=settings.openface_nice,
                threads=max(1, cores() // self._processes),
                clips=clips,
                seconds=tuple(len(job.facts.timestamps) * settings.openface_seconds_per_frame for job in group),
                start_seconds=settings.openface_start_seconds,
            ),
            lambda: self._stop.is_set() or not any(job.is_wanted() for job in group),
        )
        return evaluate_run(group, ended, lambda job, path: read_result(path, job.facts))

    def _prepare(self, job: Job, folder: Path, name: str) -> Path:
        if job.rewrite:
            return rewrite_lossless(job.source, job.facts, folder, name)
        return link_clip(job.source, folder, name)


def _name(index: int) -> str:
    """As "clip-ab": without digits, which OpenCV might count up."""
    return f"clip-{chr(97 + index // 26)}{chr(97 + index % 26)}"
