"""A folder as MER-Factory leaves one behind, for its own export, evaluation and dashboard.

`NAME/NAME_merr_data.json`, and beside it `NAME/NAME.csv` in OpenFace's form, one row per frame. Source of the format:
MER-Factory, `mer_factory/nodes/async_nodes.py` (save_mer_results) and `export.py`.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from merrflow.core.atomic_files import whole_text
from merrflow.core.records import Record
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.format import Format, FormatOptions, Target
from merrflow.datasets.export.labelling import in_words
from merrflow.datasets.export.media import film_name
from merrflow.datasets.export.text import clean_all
from merrflow.datasets.export.writer import NO_FINE, Writer


class MerFactory(Writer):
    """Writes a folder for each clip into `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def add(self, entry: Entry) -> str:
        if not entry.is_fine:
            return NO_FINE
        record = entry.record
        folder = self._folder / record.name
        folder.mkdir()
        with whole_text(folder / f"{record.name}_merr_data.json") as file:
            json.dump(clean_all(merr_data(entry)), file, indent=4)
        with whole_text(folder / f"{record.name}.csv") as file:
            csv.writer(file, lineterminator="\n").writerows(openface_rows(record))
        return ""


class MerFactoryFormat(Format[FormatOptions]):
    """The format `mer-factory`."""

    name = "mer-factory"
    about = "one folder per clip, as MER-Factory writes them and its tools read them"

    def writer(self, target: Target) -> MerFactory:
        return MerFactory(target.folder)


def merr_data(entry: Entry) -> dict[str, Any]:
    """What MER-Factory says of a clip. Its tools take the first word after the peak's time for the label."""
    record = entry.record
    texts = in_words(entry)
    units = zip(record.label.action_units, record.label.expressions, strict=False)
    return {
        "video_id": record.name,
        "source_path": film_name(record),
        "chronological_emotion_peaks": [f"Peak at {record.peak.timestamp:.2f}s: {record.label.label}"],
        "overall_peak_frame_info": {
            "frame_number": record.peak.index,
            "timestamp": record.peak.timestamp,
            "top_aus_intensities": {f"{code}_r": value for code, value in record.peak.intensity.items()},
        },
        "coarse_descriptions_at_peak": {
            "visual_expression": ", ".join(f"{phrase} ({code})" for code, phrase in units),
            "visual_objective": texts["scene"],
            "audio_analysis": " ".join(
                filter(None, (texts["tone"], texts["subtitle"] and f"Saying: {texts['subtitle']}"))
            ),
            "video_content": texts["coarse"],
        },
        "final_summary": texts["fine"],
    }


def openface_rows(record: Record) -> list[list[object]]:
    """Heading and a row for each frame, with the subject's Action Units where the subject is seen."""
    codes = sorted(record.curves.intensity)
    place = {frame: number for number, frame in enumerate(record.curves.frames)}
    rows: list[list[object]] = [["frame", "timestamp", "success", *(f"{code}_r" for code in codes)]]
    for frame in range(record.probe.frame_count):
        seen = place.get(frame)
        values = [0.0 if seen is None else round(record.curves.intensity[code][seen], 3) for code in codes]
        rows.append(
            [frame + 1, round(frame / record.probe.fps, 3) if record.probe.fps else 0, int(seen is not None), *values]
        )
    return rows
