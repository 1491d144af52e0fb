"""Action Units in every frame: measured by the service, or read from files that people already have."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from merrflow.core.measurements import ActionUnitSeries, Curves, Peak, Probe, Subject
from merrflow.formats.precomputed import PrecomputedPeaks, PrecomputedUnits
from merrflow.stages import peak, subject
from merrflow.stages.probe import Decoded
from merrflow.stages.stage import Reply, Stage, Work
from merrflow.stages.validation import series_problem

log = logging.getLogger(__name__)
SERVICE = "openface-au"
_READING = 2  # of how clips are read that no decoder shows right by itself


async def _measure(work: Work, probe: Probe) -> Reply[ActionUnitSeries]:
    return await work.run.services.action_units(work.clip.name, work.clip.path)


def _key(work: Work, probe: Probe) -> Any:
    """Of clips that used to be misread, what is in a ledger was measured in other pictures or at other times."""
    identity = work.run.identities[SERVICE]
    return [identity, _READING] if probe.adjusted else identity


async def _read(work: Work, probe: Probe) -> Reply[ActionUnitSeries]:
    files = work.run.precomputed
    assert isinstance(files, PrecomputedUnits)
    decoded: Decoded = await work.use("decoded")
    given = decoded.given.units if decoded.given and decoded.given.key == files.cache_key(work.clip) else None
    if given is None:  # OpenFace's times are computed from the mean rate
        given = await work.run.in_thread(files.read, work.clip, probe, decoded.times)
    for remark in given.remarks:
        log.warning("clip %s: %s", work.clip.name, remark)
    return Reply(given.series, given.origin)


def _file_key(work: Work, probe: Probe) -> Any:
    files = work.run.precomputed
    assert files is not None
    return files.cache_key(work.clip)


STAGE = Stage(
    name="action_units",
    purpose="faces and their Action Units in every frame",
    compute=_measure,
    needs=("probe",),
    service=SERVICE,
    result=ActionUnitSeries,
    key=_key,
    check=series_problem,
    is_large=True,
)
FROM_CSV = replace(
    STAGE, purpose="from OpenFace's CSV files", compute=_read, uses=("decoded",), service=None, key=_file_key
)


def _read_peak(work: Work, probe: Probe) -> Reply[Peak]:
    file = work.run.precomputed
    assert isinstance(file, PrecomputedPeaks)
    return Reply(*file.peak(work.clip, probe))


def _no_faces(work: Work, found: Peak) -> Subject:
    return Subject((), 0, 0.0, found.reason)


def _measurable(work: Work) -> tuple[str, ...]:
    file = work.run.precomputed
    assert isinstance(file, PrecomputedPeaks)
    return file.measurable


# MERR's JSON has no frames, only the peak itself: the stages that would find it hand it on.
FROM_PEAKS = (
    replace(FROM_CSV, purpose="from MERR's JSON: the peak only", compute=_read_peak, uses=(), result=None),
    replace(peak.STAGE, compute=lambda work, found: found, needs=("action_units",)),
    replace(subject.STAGE, compute=_no_faces, needs=("peak",)),
    replace(subject.CURVES, compute=lambda work: Curves((), (), {}), needs=()),
    replace(subject.MEASURABLE, compute=_measurable, needs=()),
)
