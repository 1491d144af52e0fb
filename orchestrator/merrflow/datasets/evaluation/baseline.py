"""What a run said of a fixed set of clips, kept to hold a later run against it (`merrflow evaluate --baseline`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from merrflow.core.atomic_files import whole_text
from merrflow.core.errors import InputError, listed, unwritable
from merrflow.core.fingerprint import fingerprint
from merrflow.datasets.evaluation.runs import FinishedRun
from merrflow.formats.merr import MerrAnnotation
from merrflow_serving.errors import first_fault

SETTINGS: Mapping[str, int] = {"measures": 1, "near_frames": 5, "samples": 2000, "seed": 0}  # what scores depend on
_NAMES_SHOWN = 3
_Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{0,64}$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(_Model):
    """What the run says of one clip."""

    sha256: _Digest  # of the clip's file
    label: str
    peak: int | None
    peak_units: tuple[str, ...]
    units: tuple[str, ...]  # AU_list
    measurable: tuple[str, ...]  # Action Units that its engine measures; empty if that is not known

    def annotation(self, name: str) -> MerrAnnotation:
        """In the form in which clips are measured."""
        return MerrAnnotation(
            name, label=self.label, peak_index=self.peak, peak_units=self.peak_units, units=self.units
        )


class Baseline(_Model):
    """A run's answers, and what they were measured against."""

    version: Literal["1"] = "1"
    against: str  # the labelled file's name
    against_sha256: _Digest
    labels: str  # fingerprint of the file's labels in the project's own words
    settings: Mapping[str, int] = SETTINGS
    clips: Mapping[str, Answer] = Field(min_length=1)


def baseline_of(run: FinishedRun, file: Mapping[str, MerrAnnotation], against: str, sha256: str) -> Baseline:
    """Of the clips in both. file: its labels in the project's own words. sha256: of the labelled file."""
    names = sorted(run.clips.keys() & file.keys())
    clips = {}
    for name in names:
        clip = run.clips[name]
        clips[name] = Answer(
            sha256=clip.sha256,
            label=clip.annotation.label or "",
            peak=clip.annotation.peak_index,
            peak_units=clip.annotation.peak_units or (),
            units=clip.annotation.units or (),
            measurable=tuple(sorted(clip.measurable)),
        )
    labels = fingerprint("labels", [[name, file[name].label] for name in names])
    return Baseline(against=against, against_sha256=sha256, labels=labels, clips=clips)


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Writes it whole or not at all; the same answers give the same bytes. Raises `InputError`, `OutputsGone`."""
    try:
        with whole_text(path) as file:
            file.write(baseline.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise unwritable(path, error) from error


def read_baseline(path: Path) -> Baseline:
    """Raises `InputError` if there is no such file, or another one."""
    try:
        return Baseline.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(
            f"{path}: not a baseline of this version ({first_fault(error)}); write one with merrflow evaluate "
            "--save-baseline"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error


def check_same(before: Baseline, now: Baseline, path: Path, without_record: Mapping[str, str]) -> None:
    """Raises `InputError` if scores of the two cannot be compared, and says what differs.

    without_record: clips that the run has no record of, with their outcome.
    """
    faults = []
    if before.against_sha256 != now.against_sha256:
        faults.append(f"another labelled file ({before.against} there, {now.against} here, with other bytes)")
    if before.settings != now.settings:
        faults.append("other settings of the measures (" + _differences(before.settings, now.settings) + ")")
    gone, new = before.clips.keys() - now.clips.keys(), now.clips.keys() - before.clips.keys()
    other = {
        name for name, one in now.clips.items() if name in before.clips and one.sha256 != before.clips[name].sha256
    }
    for names, what in ((gone, "without a record here"), (new, "not in the baseline"), (other, "with other bytes")):
        if names:
            faults.append(f"{len(names)} clip{'s' if len(names) > 1 else ''} {what} ({_some(names, without_record)})")
    if not faults and before.labels != now.labels:
        faults.append("the file's labels are read as other words; give the same --rules")
    if faults:
        raise InputError(
            f"{path}: not the same measurement: {'; '.join(faults)}. Measure the same clips in the same way, or write "
            "a new baseline with --save-baseline"
        )


def _differences(before: Mapping[str, int], now: Mapping[str, int]) -> str:
    keys = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    return ", ".join(f"{key} {before.get(key, '-')} there, {now.get(key, '-')} here" for key in keys)


def _some(names: set[str], outcomes: Mapping[str, str]) -> str:
    shown = [f"{name}: {outcomes[name]}" if name in outcomes else name for name in sorted(names)[:_NAMES_SHOWN]]
    more = len(names) - len(shown)
    return listed([*shown, *([f"and {more} more"] if more else [])])
