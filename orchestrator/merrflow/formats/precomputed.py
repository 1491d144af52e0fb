"""Precomputed Action Units, instead of the openface-au service: OpenFace's CSVs, or MERR's JSON.

The CSVs give every frame, so that subject and peak are found as usual. The JSON gives the peak itself, and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merrflow.core.errors import InputError
from merrflow.core.measurements import ActionUnitSeries, Clip, Peak, Probe
from merrflow.core.paths import path_text
from merrflow.core.texts import Origin
from merrflow.facs.units import openface_units
from merrflow.formats import openface_csv
from merrflow.formats.merr import MerrAnnotation, read_annotations
from merrflow.formats.openface_folder import OpenFaceFolder, named_by_folder
from merrflow_serving.errors import InvalidInput


@dataclass(frozen=True)
class GivenUnits:
    """A clip's Action Units, and where they are from."""

    series: ActionUnitSeries
    origin: Origin
    remarks: tuple[str, ...]  # what is damaged or missing in the file, for people


class PrecomputedUnits:
    """A folder of OpenFace's CSVs, one a clip."""

    def __init__(self, folder: Path) -> None:
        self._folder = OpenFaceFolder.read(folder)

    def cache_key(self, clip: Clip) -> Any:
        """What the clip's Action Units depend on: its file, by name, size and time, and how it is read."""
        try:
            path = self._folder.find(clip)
        except InputError as error:
            return [openface_csv.VERSION, str(error)]
        stat = path.stat() if path else None
        return [openface_csv.VERSION, path and path.name, stat and [stat.st_size, stat.st_mtime_ns]]

    def named(self, name: str) -> object:
        """The files of this name, to be compared with those of another; None if there are none."""
        return self._folder.named(name) or None

    def read(self, clip: Clip, probe: Probe, times: Sequence[float]) -> GivenUnits:
        """Every frame's faces. Blocking. times: of the frames, in seconds from the first.

        Of `probe` only the size, rate and number of the frames count. What is damaged in the file is also in the note
        of its origin. Raises `InvalidInput` if the clip has no file, or a
        wrong one.
        """
        try:
            path = self._folder.find(clip)
        except InputError as error:
            raise openface_csv.OpenFaceError(str(error)) from error
        if path is None:
            raise openface_csv.OpenFaceError(f"{self._folder.folder}: no CSV is named like the clip {clip.name}")
        model = f"OpenFace {openface_csv.version_of(openface_csv.read_header(path))}"
        read = openface_csv.read_openface(path, probe=probe, times=times)
        remarks = tuple(f"{path_text(path)}: {remark}" for remark in read.told)
        return GivenUnits(read.series, _origin("openface-csv", model, path, *read.told), remarks)


class PrecomputedPeaks:
    """MERR's JSON: of each clip the peak frame and the Action Units that are present there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._annotations = read_annotations(path, whole=False)

    def cache_key(self, clip: Clip) -> Any:
        """What the clip's peak depends on."""
        found = self._find(clip)
        return [found.peak_index, found.peak_units] if found else None

    def named(self, name: str) -> object:
        """The annotation of this name, to be compared with that of another; None if there is none."""
        return self._annotations.get(name)

    def peak(self, clip: Clip, probe: Probe) -> tuple[Peak, Origin]:
        """The peak as it is written. Raises `InvalidInput` if the clip has none, or one beyond its end."""
        found = self._find(clip)
        where = f"{path_text(self._path)}: clip {clip.name!r}"
        if found is None:
            raise InvalidInput(f"{where} is not in it")
        if found.peak_index is None or found.peak_units is None:
            raise InvalidInput(f"{where} has no peak_index or no peak_AU_list")
        if found.peak_index >= probe.frame_count:
            raise InvalidInput(
                f"{where}: peak_index {found.peak_index} is beyond the clip, which has {probe.frame_count} frames"
            )
        units = tuple(sorted(set(found.peak_units)))
        at = round(found.peak_index / probe.fps, 6)
        file = path_text(Path(self._path.name))
        reason = f"frame {found.peak_index} with {' '.join(units) or 'no Action Unit'}, as {file} has it"
        return Peak(found.peak_index, at, units, {}, (), 0.0, reason), _origin("merr-json", "OpenFace", self._path)

    def _find(self, clip: Clip) -> MerrAnnotation | None:
        # a stem that several clips share does not say which of them is meant
        stem = None if named_by_folder(clip) else self._annotations.get(clip.path.stem)
        return self._annotations.get(clip.name) or stem

    @property
    def measurable(self) -> tuple[str, ...]:
        """MERR's Action Units are OpenFace's."""
        return openface_units()


Precomputed = PrecomputedUnits | PrecomputedPeaks


def read_precomputed(path: Path) -> Precomputed:
    """By what `path` is, a folder or a .json file. Raises `InputError`."""
    if path.is_dir():
        return PrecomputedUnits(path)
    if path.suffix.lower() == ".json":
        return PrecomputedPeaks(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    raise InputError(f"{path}: neither a folder of OpenFace's CSVs nor MERR's JSON")


def _origin(engine: str, model: str, path: Path, *told: str) -> Origin:
    note = "; ".join([f"read from {path_text(Path(path.name))}, not measured by merrflow", *told])
    return Origin(engine, model, "", "", note, 0.0, 0.0)
