"""A dataset for Argilla, as its `Dataset.to_disk` writes one: label and text are suggestions to be corrected.

Source of the format: the package argilla 2.8, `datasets/_io/_disk.py`, `settings/_resource.py`, `records/_io/_json.py`.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from merrflow.core.atomic_files import whole_text
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.format import Format, FormatOptions, Target
from merrflow.datasets.export.json_list import JsonList
from merrflow.datasets.export.labelling import CLUES, certainty, in_words
from merrflow.datasets.export.text import clean_all
from merrflow.datasets.export.vocabulary import Vocabulary
from merrflow.datasets.export.writer import Writer
from merrflow.datasets.pictures import Pictures
from merrflow.datasets.standings import standing_of

LABEL, TEXT = "label", "description"  # the questions
_METADATA = ("standing", "label_source", "rules", "sha256")


class ArgillaOptions(FormatOptions):
    """What is shown."""

    pixels: int = Field(512, description="longest side of the pictures; 0: without pictures", ge=0, le=4096)


class Argilla(Writer):
    """Writes `.argilla/settings.json`, `.argilla/dataset.json` and `records.json` into `folder`.

    Pictures are within the records, for Argilla has no files of its own, and therefore small.
    """

    def __init__(self, folder: Path, peaks: Path, words: Vocabulary, options: ArgillaOptions) -> None:
        """peaks: the run's folder of pictures."""
        super().__init__()
        self._pixels = options.pixels
        self._pictures = Pictures(peaks)
        (folder / ".argilla").mkdir()
        for name, content in (("settings", settings(words.labels)), ("dataset", {"name": "merrflow"})):
            with whole_text(folder / ".argilla" / f"{name}.json") as file:
                json.dump(clean_all(content), file, indent=1)
        self._records = JsonList(folder / "records.json", self.files)

    def add(self, entry: Entry) -> str:
        picture = self._pictures.of(entry.record) if self._pixels else None
        fields = {name: text for name, text in in_words(entry).items() if name in CLUES and text}
        if picture:
            fields["image"] = _data_uri(picture, self._pixels)
        self._records.add(clean_all(item(entry, fields)))
        return ""


class ArgillaFormat(Format[ArgillaOptions]):
    """The format `argilla`."""

    name = "argilla"
    about = "a dataset that Argilla's Dataset.from_disk reads, with labels and texts as suggestions"
    options_type = ArgillaOptions

    def writer(self, target: Target) -> Argilla:
        return Argilla(target.folder, target.peaks, target.vocabulary(), self.options)


def settings(labels: tuple[str, ...]) -> dict[str, Any]:
    """Fields, questions and metadata of the dataset."""
    text = {"type": "text", "use_markdown": False}
    options = [{"text": label, "value": label} for label in labels]
    return {
        "guidelines": "The label and the description are merrflow's. Confirm them, or correct them.",
        "fields": [
            {"name": "image", "title": "Picture", "required": False, "settings": {"type": "image"}},
            *(
                {"name": clue, "title": clue.capitalize(), "required": clue == "coarse", "settings": text}
                for clue in CLUES
            ),
        ],
        "questions": [
            _question(LABEL, "What does the person feel?", True, {"type": "label_selection", "options": options}),
            _question(TEXT, "Which clues say so?", False, text),
        ],
        "metadata": [{"name": name, "title": name, "settings": {"type": "terms"}} for name in _METADATA],
        "vectors": [],
        "allow_extra_metadata": False,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
    }


def item(entry: Entry, fields: Mapping[str, str]) -> dict[str, Any]:
    """One record."""
    record = entry.record
    metadata = {
        "standing": standing_of(entry)[0],
        "label_source": record.label.source,
        "rules": record.label.rules,
        "sha256": record.sha256,
    }
    suggestions = {LABEL: {"value": record.label.label, "score": certainty(record), "agent": record.label.source}}
    if entry.fine_text:
        origin = record.origins.get("reasoning")
        suggestions[TEXT] = {"value": entry.fine_text.strip(), "score": None, "agent": origin.model if origin else None}
    return {
        "id": record.name,
        "fields": {"coarse": "-", **fields},
        "metadata": {name: value for name, value in metadata.items() if value},
        "suggestions": suggestions,
        "responses": {},
        "vectors": {},
    }


def _question(name: str, title: str, required: bool, how: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "title": title, "required": required, "settings": dict(how)}


def _data_uri(picture: Path, pixels: int) -> str:
    """The picture as text, its longest side at most this many pixels."""
    from PIL import Image

    with Image.open(picture) as image:
        image.thumbnail((pixels, pixels))
        written = io.BytesIO()
        image.save(written, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode()
