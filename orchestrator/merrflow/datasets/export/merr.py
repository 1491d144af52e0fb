"""MERR's own files, as the dataset class of Emotion-LLaMA (minigpt4/datasets/datasets/first_face.py) reads them.

JSON by clip name, and beside it a TXT with `name frame_count label` a line. The coarse file holds every clip with a
record; the fine file those with a fine-grained description. The JSON is ASCII, because loaders open it in the system's
code page. The TXT, which says what is trained on, lists only what the class can load. All are a function of the ledger
alone, so that the same results give the same bytes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from merrflow.core.atomic_files import whole_text
from merrflow.core.records import Record
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.features import FeatureFiles, MerrOptions
from merrflow.datasets.export.format import Format, Target
from merrflow.datasets.export.pandas_text import KEEPS_TEXT, SubtitleTable, is_missing, is_number, spoken
from merrflow.datasets.export.text import trainable
from merrflow.datasets.export.writer import OTHER_LABEL, Writer
from merrflow.facs import UnknownLabel, load_rules

SUBTITLES = "transcription_en_all.csv"  # as Emotion-LLaMA's configuration names it
AFFECTGPT = "affectgpt.csv"
NO_NAME = "a name that pandas takes for no value, so rename the clip"


class MerrFiles(Writer):
    """The five files in `folder`. `coarse` and `fine` count the records of the JSON files."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.coarse = 0
        self.fine = 0
        self._open = {
            fine: (
                self.files.enter_context(whole_text(folder / f"MERR_{grain}_grained.json")),
                self.files.enter_context(whole_text(folder / f"MERR_{grain}_grained.txt")),
            )
            for fine, grain in ((False, "coarse"), (True, "fine"))
        }
        self._subtitles = SubtitleTable(self.files.enter_context(whole_text(folder / SUBTITLES)))
        # The end of each file is written last of all, so that it is there also if `finish` is not called.
        self.files.callback(self._end)

    def add(self, entry: Entry) -> str:
        record = entry.record
        label = None if unloadable(record) else merr_label(record.label.label)
        self._put(entry, label, fine=False, first=not self.coarse)
        self.coarse += 1
        if entry.is_fine:
            self._put(entry, label, fine=True, first=not self.fine)
            self.fine += 1
        if label:
            self._subtitles.add(record.name, record.english or "")
        return ""

    def _put(self, entry: Entry, label: str | None, *, fine: bool, first: bool) -> None:
        """label: MERR's word for it; None: the TXT leaves the record out."""
        data, lines = self._open[fine]
        record = entry.record
        text = json.dumps(merr_record(entry, fine=fine), indent=2).replace("\n", "\n  ")
        data.write(("{" if first else ",") + f"\n  {json.dumps(record.name)}: {text}")
        if label:
            lines.write(f"{record.name} {record.probe.frame_count} {label}\n")

    def _end(self) -> None:
        for fine, count in ((False, self.coarse), (True, self.fine)):
            self._open[fine][0].write("\n}\n" if count else "{}\n")
        self._subtitles.end()


class AffectGptTable(Writer):
    """AffectGPT's table: `names`, `subtitles`, `reasons`, a row for each fine-grained description.

    Its dataset class makes a path of each name and trains on every row, so a name that pandas would take for a number
    is written as the same path in other letters: "./0001".
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._writer = csv.writer(self.files.enter_context(whole_text(folder / AFFECTGPT)), lineterminator="\n")
        self._writer.writerow(("names", "subtitles", "reasons"))

    def add(self, entry: Entry) -> str:
        name = entry.record.name
        if entry.is_fine:
            path = f"./{name}" if is_number(name) else name
            self._writer.writerow((path, spoken(entry.record.english or ""), spoken(entry.fine_text or "")))
        return ""


class MerrExport(Writer):
    """MERR's files and AffectGPT's table, with what the dataset classes can load and nothing else."""

    def __init__(
        self,
        folder: Path,
        revised: Callable[[Record], Record] = lambda record: record,
        features: FeatureFiles | None = None,
    ) -> None:
        """revised: what is changed in a record, whose label is already one of MERR's words."""
        super().__init__()
        self._features = self.files.enter_context(features) if features else None
        self._revised = revised
        self._merr = self.files.enter_context(MerrFiles(folder))
        self._affectgpt = self.files.enter_context(AffectGptTable(folder))
        self._foreign = 0  # subtitles that are not English
        self._other_files = 0  # clips whose file is not <name>.mp4 or .avi
        self._bare = 0  # records with an empty AU_list, which MERR does not have
        self._numbers = 0  # names that are numbers for pandas
        self._beyond_ascii = 0  # names

    def add(self, entry: Entry) -> str:
        record = entry.record
        label = merr_label(record.label.label)
        if label is None:
            return OTHER_LABEL
        if reason := unloadable(record) or (self._features.add(entry) if self._features else ""):
            return reason
        record = self._revised(replace(record, label=replace(record.label, label=label)))
        self._merr.add(replace(entry, record=record))
        self._affectgpt.add(entry)
        self._bare += not record.label.action_units
        foreign = bool(record.subtitle.text) and record.subtitle.language not in ("en", "")
        self._foreign += foreign and not record.translation
        self._numbers += is_number(record.name)
        self._beyond_ascii += not record.name.isascii()
        file = record.path.replace("\\", "/").rpartition("/")[2]
        self._other_files += file not in (f"{record.name}.mp4", f"{record.name}.avi")
        return ""

    def finish(self) -> tuple[str, ...]:
        counted = {
            "records with an empty AU_list, for no unit of their label's set is at the peak": self._bare,
            "subtitles that are not English, as MERR's translated ones are": self._foreign,
            "clips whose file is not NAME.mp4 or NAME.avi, as Emotion-LLaMA looks for it, so link or rename them": (
                self._other_files
            ),
            f"names that pandas takes for numbers, so that {SUBTITLES} has a {KEEPS_TEXT!r}, and {AFFECTGPT} has "
            "./NAME": self._numbers,
            "names beyond ASCII, which older Emotion-LLaMA reads in the system's code page": self._beyond_ascii,
        }
        first = f"coarse-grained records: {self._merr.coarse}; fine-grained: {self._merr.fine}"
        features = self._features.finish() if self._features else ()
        return (first, *features, *(f"{what}: {count}" for what, count in counted.items() if count))


class Merr(Format[MerrOptions]):
    """The format `merr`."""

    name = "merr"
    about = "JSON, TXT, subtitles and features as Emotion-LLaMA reads them, and AffectGPT's table"
    options_type = MerrOptions

    def writer(self, target: Target) -> MerrExport:
        wanted = self.options.features
        return MerrExport(
            target.folder, features=FeatureFiles(target.folder, self.options, target.faces) if wanted else None
        )


def unloadable(record: Record) -> str:
    """Why no loader finds the clip by its name, in a few words; "" if it does."""
    return NO_NAME if is_missing(record.name) else ""


def merr_record(entry: Entry, *, fine: bool) -> dict[str, Any]:
    """One record with MERR's keys, in MERR's order."""
    record = entry.record
    values: dict[str, Any] = {
        "AU_list": list(record.label.action_units),
        "visual_prior_list": [trainable(phrase) for phrase in record.label.expressions],
        "audio_prior_list": trainable(record.tone.text) if record.tone else "",
        "peak_index": str(record.peak.index),
        "peak_AU_list": list(record.peak.action_units),
        "pseu_emotion": record.label.label,
    }
    if record.label.standing:
        values["pseu_emotion_standing"] = str(record.label.standing.verdict)
    if fine:
        return values | {
            "text": trainable(record.english or ""),
            "smp_reason_caption": trainable(entry.fine_text or ""),
        }
    return values | {"caption": trainable(record.coarse)}


def merr_label(label: str) -> str | None:
    """MERR's word for a label; None if it has none (disgust, say)."""
    try:
        return load_rules("merr").normal(label)
    except UnknownLabel:
        return None
