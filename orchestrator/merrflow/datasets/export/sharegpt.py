"""ShareGPT conversations with the `dataset_info.json` that LLaMA-Factory reads (its data/README.md).

Two datasets, because each conversation has as many placeholders as files: `merrflow_image` shows the run's picture
(`<image>`, copied into images/), `merrflow_video` the whole clip (`<video>`, by the path it has on this machine).
Human and gpt take turns; only records with a fine-grained description are in them, for it is the answer.
"""

from __future__ import annotations

import json
import shutil
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from merrflow.core.atomic_files import whole_text
from merrflow.core.datafile import Strict, read
from merrflow.core.paths import ESCAPED
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.format import Format, FormatOptions, Target
from merrflow.datasets.export.text import one_line, trainable
from merrflow.datasets.export.writer import NO_FINE, NO_PICTURE, Writer
from merrflow.datasets.pictures import Pictures

MEDIA = {"image": "images", "video": "videos"}  # placeholder -> column


class Line(Strict):
    """One clue of the question."""

    needs: Literal["scene", "expressions", "tone", "subtitle"]
    text: str


class Question(Strict):
    """See sharegpt.yaml."""

    version: str
    system: str
    lines: tuple[Line, ...]
    ask: str


class ShareGpt(Writer):
    """Writes `merrflow_image.json`, `merrflow_video.json`, `dataset_info.json` and `images/` into `folder`."""

    def __init__(self, folder: Path, peaks: Path) -> None:
        """peaks: the run's folder of pictures, `<name>.jpg`."""
        super().__init__()
        self._folder = folder
        self._pictures = Pictures(peaks)
        (folder / "images").mkdir(parents=True)
        self._count = dict.fromkeys(MEDIA, 0)
        self._no_picture = self._no_clip = 0
        self._files = {kind: self.files.enter_context(whole_text(folder / f"merrflow_{kind}.json")) for kind in MEDIA}
        self.files.callback(self._end)

    def add(self, entry: Entry) -> str:
        if not entry.is_fine:
            return NO_FINE
        record = entry.record
        picture = self._pictures.of(record)
        # a path that is not UTF-8 cannot be in a JSON file
        has_clip = not record.path.startswith(ESCAPED) and Path(record.path).is_file()
        if not picture and not has_clip:
            return NO_PICTURE
        self._no_picture += not picture
        self._no_clip += not has_clip
        if picture:
            image = f"images/{record.name}.jpg"
            shutil.copyfile(picture, self._folder / image)
            self._put("image", entry, image)
        if has_clip:
            self._put("video", entry, record.path)
        return ""

    def finish(self) -> tuple[str, ...]:
        info = {f"merrflow_{kind}": description(f"merrflow_{kind}.json", column) for kind, column in MEDIA.items()}
        with whole_text(self._folder / "dataset_info.json") as file:
            json.dump(info, file, indent=2)
            file.write("\n")
        remarks = [f"conversations with the picture: {self._count['image']}; with the clip: {self._count['video']}"]
        if self._no_picture:
            remarks.append(f"records without a picture, which merrflow run makes: {self._no_picture}")
        if self._no_clip:
            remarks.append(f"clips that are not where they were, and so not in merrflow_video.json: {self._no_clip}")
        return tuple(remarks)

    def _put(self, kind: str, entry: Entry, path: str) -> None:
        text = json.dumps(conversation(entry, kind, path), ensure_ascii=False)
        self._files[kind].write(("," if self._count[kind] else "[") + "\n" + text)
        self._count[kind] += 1

    def _end(self) -> None:
        for kind, file in self._files.items():
            file.write("\n]\n" if self._count[kind] else "[]\n")


class ShareGptFormat(Format[FormatOptions]):
    """The format `sharegpt`."""

    name = "sharegpt"
    about = "conversations for LLaMA-Factory, with the picture or the clip"

    def writer(self, target: Target) -> ShareGpt:
        return ShareGpt(target.folder, target.peaks)


def conversation(entry: Entry, kind: str, path: str) -> dict[str, Any]:
    """One example. kind: "image" or "video"; path: of the picture or clip."""
    record = entry.record
    question = load_question()
    clues = {
        "scene": record.scene.text if record.scene else "",
        "expressions": ", ".join(record.label.expressions),
        "tone": record.tone.text if record.tone else "",
        "subtitle": record.subtitle.text or "",
    }
    known = {name: clue for name, text in clues.items() if (clue := one_line(trainable(text)))}
    lines = [line.text.replace("{clue}", known[line.needs]) for line in question.lines if line.needs in known]
    return {
        "conversations": [
            {"from": "human", "value": "\n".join((f"<{kind}>", *lines, question.ask))},
            {"from": "gpt", "value": trainable(entry.fine_text or "").strip()},
        ],
        "system": question.system,
        MEDIA[kind]: [path],
        "name": record.name,
        "label": record.label.label,
    }


def description(file_name: str, media: str) -> dict[str, Any]:
    """What `dataset_info.json` says of one dataset. media: "images" or "videos"."""
    return {
        "file_name": file_name,
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "system": "system", media: media},
        "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"},
    }


@cache
def load_question() -> Question:
    """The question that comes with the package."""
    return read(files("merrflow.datasets.export") / "sharegpt.yaml", Question)
