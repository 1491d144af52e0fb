"""The Action Units of a clip from an OpenFace CSV.

How the file is read: `merrflow_serving.media.openface_csv`, which the openface-au service shares.
"""

from __future__ import annotations

from pathlib import Path

from merrflow.core.records import ActionUnitSeries, Face, FaceFrame, Probe
from merrflow.facs.units import action_units
from merrflow_serving.media.openface_csv import VERSION, OpenFaceError, degrees, read_faces, read_header, version_of

__all__ = ["VERSION", "OpenFaceError", "degrees", "read_header", "read_openface", "version_of"]


def read_openface(path: Path, *, probe: Probe) -> ActionUnitSeries:
    """The faces of every frame of the clip, timed by the clip. Blocking. Raises `OpenFaceError`, as `read_faces`."""
    read = read_faces(
        path, width=probe.width, height=probe.height, frame_count=probe.frame_count, known=tuple(action_units())
    )
    fps = probe.fps or 25.0
    frames = (
        FaceFrame(index, round(index / fps, 6), tuple(Face(**vars(face)) for face in faces))
        for index, faces in enumerate(read.frames)
    )
    return ActionUnitSeries(probe.width, probe.height, probe.fps, read.units, tuple(frames))
