"""A dataset for FiftyOne: pictures or clips, with labels, faces and texts as fields of each sample.

Source of the format: FiftyOne's documentation, "FiftyOneDataset"; the plain JSON of `LegacyFiftyOneDataset`, which
needs no database to be written. There, "sample" is FiftyOne's word for a picture or film.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from merrflow.core.atomic_files import whole_text
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.format import Format, FormatOptions, Target
from merrflow.datasets.export.json_list import JsonList
from merrflow.datasets.export.labelling import certainty, in_words
from merrflow.datasets.export.media import MediaFolder
from merrflow.datasets.export.text import clean_all
from merrflow.datasets.export.writer import NO_CLIP, NO_PICTURE, Writer
from merrflow.datasets.standings import standing_of


class FiftyOneOptions(FormatOptions):
    """What a sample is."""

    video: bool = Field(False, description="true: samples are the clips, with the face on the picture's frame")


class FiftyOne(Writer):
    """Writes `samples.json`, `metadata.json`, `images/` or `videos/`, and `frames/` of clips, into `folder`."""

    def __init__(self, folder: Path, peaks: Path, options: FiftyOneOptions) -> None:
        """peaks: the run's folder of pictures."""
        super().__init__()
        self._video = options.video
        self._folder = folder
        self._media = MediaFolder(folder, peaks)
        self._samples = JsonList(folder / "samples.json", self.files, key="samples")
        with whole_text(folder / "metadata.json") as file:
            json.dump({"media_type": "video" if self._video else "image"}, file)

    def add(self, entry: Entry) -> str:
        record = entry.record
        path = (self._media.film if self._video else self._media.picture)(record)
        if path is None:
            return NO_CLIP if self._video else NO_PICTURE
        values = clean_all({"filepath": path, "tags": [], **fields(entry)})
        if self._video:
            values["frames"] = f"frames/{record.name}.json"
            (self._folder / "frames").mkdir(exist_ok=True)
            with whole_text(self._folder / values["frames"]) as file:
                # FiftyOne counts frames from 1
                json.dump({"frames": {str(record.picture_index + 1): {"face": faces(entry)}}}, file)
        else:
            values["face"] = faces(entry)
        self._samples.add(values)
        return ""


class FiftyOneFormat(Format[FiftyOneOptions]):
    """The format `fiftyone`."""

    name = "fiftyone"
    about = "pictures or clips with labels, faces and texts, as FiftyOne reads them (LegacyFiftyOneDataset)"
    options_type = FiftyOneOptions

    def writer(self, target: Target) -> FiftyOne:
        return FiftyOne(target.folder, target.peaks, self.options)


def fields(entry: Entry) -> dict[str, Any]:
    """What is known of the whole clip."""
    record = entry.record
    standing = standing_of(entry)[0]
    return {
        "clip": record.name,
        "sha256": record.sha256,
        "emotion": _classified(record.label.label, certainty(record)),
        "standing": _classified(standing) if standing else None,
        "action_units": {
            "_cls": "Classifications",
            "classifications": [_classified(code) for code in record.peak.action_units],
        },
        "peak_seconds": record.peak.timestamp,
        **{name: text or None for name, text in in_words(entry).items()},
    }


def faces(entry: Entry) -> dict[str, Any]:
    """The face in the picture, its box in shares of the picture; none if the record does not say where it is."""
    record = entry.record
    found = []
    if record.picture_box:
        x, y, width, height = record.picture_box
        box = [
            x / record.probe.width,
            y / record.probe.height,
            width / record.probe.width,
            height / record.probe.height,
        ]
        found.append({"_cls": "Detection", "label": record.label.label, "bounding_box": box})
    return {"_cls": "Detections", "detections": found}


def _classified(label: str, confidence: float | None = None) -> dict[str, Any]:
    return {"_cls": "Classification", "label": label, "confidence": confidence}
