"""MERR's own files, as the dataset class of Emotion-LLaMA (minigpt4/datasets/datasets/first_face.py) reads them.

JSON by clip name, and beside it a TXT with `name frame_count label` a line. The coarse file holds every clip with a
record; the fine file those with a fine-grained description. All are a function of the ledger alone, so that the same
results give the same bytes.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from merrflow.core.atomic_files import whole_text
from merrflow.core.records import Record
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.format import Format, FormatOptions, Target
from merrflow.datasets.export.text import one_line, trainable
from merrflow.datasets.export.writer import OTHER_LABEL, Writer
from merrflow.facs import UnknownLabel, load_rules

SUBTITLES = "transcription_en_all.csv"  # as Emotion-LLaMA's configuration names it
# What pandas.read_csv takes for "no value"; a sentence that is one of these words would become the number NaN.
_MISSING = {"NA", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "<NA>", "NULL", "null", "None", "NaN", "nan", "-NaN", "-nan"}
_MISSING |= {"1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"}
_FORMULA = tuple("=+-@")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)  # as pandas reads it


class MerrFiles(Writer):
    """The four files in `folder`. `coarse` and `fine` count their records."""

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
        # The end of each JSON is written last of all, so that it is there also if `finish` is not called.
        self.files.callback(self._end)

    def add(self, entry: Entry) -> str:
        self._put(entry, fine=False, first=not self.coarse)
        self.coarse += 1
        if entry.is_fine:
            self._put(entry, fine=True, first=not self.fine)
            self.fine += 1
        return ""

    def _put(self, entry: Entry, *, fine: bool, first: bool) -> None:
        data, lines = self._open[fine]
        record = entry.record
        text = json.dumps(merr_record(entry, fine=fine), ensure_ascii=False, indent=2).replace("\n", "\n  ")
        data.write(("{" if first else ",") + f"\n  {json.dumps(record.name, ensure_ascii=False)}: {text}")
        lines.write(f"{record.name} {record.probe.frame_count} {record.label.label}\n")

    def _end(self) -> None:
        for fine, count in ((False, self.coarse), (True, self.fine)):
            self._open[fine][0].write("\n}\n" if count else "{}\n")


class MerrExport(Writer):
    """MERR's files with the subtitles beside them, and with MERR's own labels only.

    The dataset class fails on a label that is not among its nine, and on a clip without a row of subtitles; a row
    without a sentence it would read as the word "nan". Such a sentence is one blank.
    """

    def __init__(self, folder: Path, revised: Callable[[Record], Record] = lambda record: record) -> None:
        """revised: what is changed in a record, whose label is already one of MERR's words."""
        super().__init__()
        self._revised = revised
        self._merr = self.files.enter_context(MerrFiles(folder))
        file = self.files.enter_context(whole_text(folder / SUBTITLES))
        self._subtitles = subtitle_rows(file)
        self._foreign = 0  # subtitles that are not English
        self._other_files = 0  # clips whose file is not <name>.mp4 or .avi
        self._bare = 0  # records with an empty AU_list, which MERR does not have
        self._nameless = 0  # names that pandas reads as "no value"
        self._numbers = 0  # and as numbers, if all are

    def add(self, entry: Entry) -> str:
        label = merr_label(entry.record.label.label)
        if label is None:
            return OTHER_LABEL
        record = entry.record
        record = self._revised(replace(record, label=replace(record.label, label=label)))
        self._merr.add(replace(entry, record=record))
        self._subtitles(record.name, record.english or "")
        self._bare += not record.label.action_units
        foreign = bool(record.subtitle.text) and record.subtitle.language not in ("en", "")
        self._foreign += foreign and not record.translation
        self._nameless += record.name in _MISSING
        self._numbers += bool(_NUMBER.fullmatch(record.name))
        file = record.path.replace("\\", "/").rpartition("/")[2]
        self._other_files += file not in (f"{record.name}.mp4", f"{record.name}.avi")
        return ""

    def finish(self) -> tuple[str, ...]:
        remarks = [f"coarse-grained records: {self._merr.coarse}; fine-grained: {self._merr.fine}"]
        if self._bare:
            remarks.append(
                f"records with an empty AU_list, for no unit of their label's set is at the peak: {self._bare}"
            )
        if self._foreign:
            remarks.append(f"subtitles that are not English, as MERR's translated ones are: {self._foreign}")
        if self._other_files:
            remarks.append(
                "clips whose file is not NAME.mp4 or NAME.avi, as Emotion-LLaMA looks for it, so link or rename them: "
                f"{self._other_files}"
            )
        lost = self._nameless + self._numbers
        if lost < self._merr.coarse:  # one name that is a word makes words of the numbers
            lost = self._nameless
        if lost:
            remarks.append(
                "names that pandas.read_csv takes for numbers or for no value, so that Emotion-LLaMA cannot look their "
                f"subtitles up: {lost}"
            )
        return tuple(remarks)


class Merr(Format[FormatOptions]):
    """The format `merr`."""

    name = "merr"
    about = "JSON, TXT and subtitles as Emotion-LLaMA reads them"

    def writer(self, target: Target) -> MerrExport:
        return MerrExport(target.folder)


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


def subtitle_rows(file: TextIO) -> Callable[[str, str], None]:
    """Writes the heading of a subtitle CSV, and returns what writes a row of it: `name`, `sentence`."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("name", "sentence"))
    return partial(_subtitle, writer)


def _subtitle(writer: Any, name: str, sentence: str) -> None:
    text = one_line(trainable(sentence))
    # A blank before it keeps pandas from reading NaN and spreadsheets from reading a formula.
    if not text or text in _MISSING or text.startswith(_FORMULA):
        text = f" {text}"
    writer.writerow((name, text))
