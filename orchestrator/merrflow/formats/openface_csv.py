"""The Action Units of a clip from an OpenFace CSV.

How the file is read: `merrflow_serving.media.openface_csv`, which the openface-au service shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from merrflow.core.faces import Face, FaceFrame, FaceFrames
from merrflow.core.measurements import ActionUnitSeries, Probe
from merrflow.facs.units import action_units
from merrflow_serving.media.openface_csv import VERSION, OpenFaceError, degrees, read_faces, read_header, version_of

__all__ = ["VERSION", "OpenFaceError", "OpenFaceSeries", "degrees", "read_header", "read_openface", "version_of"]


@dataclass(frozen=True)
class OpenFaceSeries:
    """A clip's Action Units, and what is damaged or missing in the file."""

    series: ActionUnitSeries
    told: tuple[str, ...]


def read_openface(path: Path, *, probe: Probe, times: Sequence[float] = ()) -> OpenFaceSeries:
    """The faces of every frame of the clip. Blocking. Raises `OpenFaceError`, as `read_faces`.

    times: of the clip's frames, in seconds from the first; empty if they are evenly spaced.
    """
    fps = probe.fps or 25.0
    times = times or [round(index / fps, 6) for index in range(probe.frame_count)]
    read = read_faces(
        path,
        width=probe.width,
        height=probe.height,
        frame_count=probe.frame_count,
        known=tuple(action_units()),
        times=times,
        repair=True,
    )
    frames = (
        FaceFrame(index, time, tuple(Face(**vars(face)) for face in faces))
        for index, (time, faces) in enumerate(zip(times, read.frames, strict=True))
    )
    series = ActionUnitSeries(probe.width, probe.height, probe.fps, read.units, FaceFrames.of(frames))
    return OpenFaceSeries(series, read.told)
