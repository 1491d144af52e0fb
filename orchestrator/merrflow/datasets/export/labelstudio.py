"""Tasks for Label Studio, with merrflow's label and text as predictions to be corrected, and the labelling interface.

Source of the formats: Label Studio's documentation, "Basic Label Studio JSON format" and "Import pre-annotations".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from pydantic import Field

from merrflow.core.atomic_files import whole_text
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.format import Format, FormatOptions, Target
from merrflow.datasets.export.json_list import JsonList
from merrflow.datasets.export.labelling import CLUES, TEXTS, certainty, in_words
from merrflow.datasets.export.media import MediaFolder
from merrflow.datasets.export.text import clean_all
from merrflow.datasets.export.vocabulary import Vocabulary
from merrflow.datasets.export.writer import NO_CLIP, NO_PICTURE, Writer

LABEL, TEXT = "emotion", "description"  # the controls by which people answer
SHOWN_TEXT = "fine"  # in a task's data: the text that people were shown, which the interface does not use
_TAGS = {"image": "Image", "video": "Video"}


class LabelStudioOptions(FormatOptions):
    """What is shown, and where Label Studio finds it."""

    video: bool = Field(False, description="true: the clip is shown, not the picture")
    url: str = Field(
        "/data/local-files/?d=",
        description="what is put before the path of each file; as it is, the files are below the folder of "
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT",
    )


class LabelStudio(Writer):
    """Writes `tasks.json`, `config.xml` and `images/` or `videos/` into `folder`."""

    def __init__(self, folder: Path, peaks: Path, words: Vocabulary, options: LabelStudioOptions) -> None:
        """peaks: the run's folder of pictures."""
        super().__init__()
        self._shown = "video" if options.video else "image"
        self._url = options.url
        self._media = MediaFolder(folder, peaks)
        self._tasks = JsonList(folder / "tasks.json", self.files)
        with whole_text(folder / "config.xml") as file:
            file.write(interface(self._shown, words.labels))

    def add(self, entry: Entry) -> str:
        path = (self._media.film if self._shown == "video" else self._media.picture)(entry.record)
        if path is None:
            return NO_CLIP if self._shown == "video" else NO_PICTURE
        self._tasks.add(clean_all(task(entry, {self._shown: self._url + quote(path)})))
        return ""

    def finish(self) -> tuple[str, ...]:
        return ("labelling interface: config.xml; tasks with predictions: tasks.json",)


class LabelStudioFormat(Format[LabelStudioOptions]):
    """The format `labelstudio`."""

    name = "labelstudio"
    about = "tasks for Label Studio, with labels and texts as predictions, and the interface for them"
    options_type = LabelStudioOptions

    def writer(self, target: Target) -> LabelStudio:
        return LabelStudio(target.folder, target.peaks, target.vocabulary(), self.options)


def task(entry: Entry, media: Mapping[str, str]) -> dict[str, Any]:
    """One task. media: address by kind, of which there is one."""
    (shown,) = media
    record = entry.record
    texts = in_words(entry)
    results = [_result("label", LABEL, shown, "choices", {"choices": [record.label.label]})]
    if texts["fine"]:
        results.append(_result("text", TEXT, shown, "textarea", {"text": [texts["fine"]]}))
    return {
        "data": {"name": record.name, "sha256": record.sha256, **media, **{name: texts[name] for name in TEXTS}},
        "predictions": [{"model_version": record.label.rules, "score": certainty(record), "result": results}],
    }


def interface(shown: str, labels: tuple[str, ...]) -> str:
    """The labelling interface. shown: "image" or "video"."""
    lines = [f'<{_TAGS[shown]} name="{shown}" value="${shown}"/>']
    for clue in CLUES:
        lines += [f'<Header size="5" value="{clue}"/>', f'<Text name="{clue}" value="${clue}"/>']
    lines += [
        f'<Choices name="{LABEL}" toName="{shown}" choice="single-radio" required="true" showInline="true">',
        *(f"  <Choice value={quoteattr(label)}/>" for label in labels),
        "</Choices>",
        f'<TextArea name="{TEXT}" toName="{shown}" rows="5" editable="true" maxSubmissions="1"/>',
    ]
    return "\n".join(("<View>", *(f"  {line}" for line in lines), "</View>", ""))


def _result(id: str, name: str, shown: str, kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": id, "from_name": name, "to_name": shown, "type": kind, "value": dict(value)}
