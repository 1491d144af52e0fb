"""ShareGPT conversations with the `dataset_info.json` that LLaMA-Factory reads (its data/README.md).

Several datasets, because each conversation has as many placeholders as files: `merrflow_image` shows the picture
(`<image>`), `merrflow_video` the whole clip (`<video>`), and `merrflow_omni` the clip with its sound beside it
(`<video><audio>`). Paths are relative to a media folder: the export, in which the files are, or one that the user
names, in which the clips are. Human and gpt take turns; only records with a fine-grained description are in them, for
it is the answer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from merrflow.core.atomic_files import whole_text
from merrflow.core.datafile import Strict, read
from merrflow.core.errors import InputError
from merrflow.core.paths import ESCAPED, path_text
from merrflow.core.records import Record
from merrflow.datasets.entries import Entry
from merrflow.datasets.export.format import Format, FormatOptions, Target
from merrflow.datasets.export.json_list import JsonList
from merrflow.datasets.export.media import MediaFolder, clip_of
from merrflow.datasets.export.text import one_line, trainable
from merrflow.datasets.export.writer import NO_FINE, NO_PICTURE, Writer

MEDIA = {"image": "images", "video": "videos", "audio": "audios"}  # placeholder -> column, and folder
DATASETS = {"image": ("image",), "video": ("video",), "omni": ("video", "audio")}  # merrflow_<name> -> placeholders
Clue = Literal["scene", "expressions", "tone", "subtitle", "subtitle_en"]


class Line(Strict):
    """One clue of the question."""

    needs: Clue
    text: str


class Question(Strict):
    """See sharegpt.yaml."""

    version: str
    system: str
    lines: tuple[Line, ...]
    given: Mapping[str, tuple[Clue, ...]]
    ask: str


class ShareGptOptions(FormatOptions):
    """What the conversations hold, and where their files are."""

    clues: str = Field("none", description="which clues the question holds: none, words (what is said), all")
    audio: bool = Field(False, description="true: also merrflow_omni, the clip with its sound as a WAV file beside it")
    media_dir: str = Field(
        "", description="a folder in which the clips are: their paths are relative to it, and videos/ is not written"
    )

    @model_validator(mode="after")
    def _check(self) -> ShareGptOptions:
        if self.clues not in load_question().given:
            raise InputError(f"clues={self.clues}: must be one of {', '.join(load_question().given)}")
        if self.audio and self.media_dir:
            raise InputError("audio=true: the sound is written into the export, so leave media_dir out")
        if self.media_dir and not Path(self.media_dir).is_dir():
            raise InputError(f"media_dir={self.media_dir}: there is no such folder")
        return self


class ShareGpt(Writer):
    """Writes `merrflow_{image,video,omni}.json`, `dataset_info.json`, `images/`, `videos/`, `audios/` into `folder`."""

    def __init__(self, folder: Path, peaks: Path, options: ShareGptOptions) -> None:
        """peaks: the run's folder of pictures, `<name>.jpg`."""
        super().__init__()
        self._options = options
        self._clips = Path(options.media_dir).resolve() if options.media_dir else None
        self._folder = folder
        self._media = MediaFolder(folder, peaks)
        names = [name for name in DATASETS if name != "omni" or options.audio]
        self._lost: Counter[str] = Counter()
        self._files = {name: JsonList(folder / f"merrflow_{name}.json", self.files) for name in names}

    def add(self, entry: Entry) -> str:
        if not entry.is_fine:
            return NO_FINE
        record = entry.record
        found = {"image": self._media.picture(record), "video": self._video(record)}
        if not any(found.values()):
            return NO_PICTURE
        self._lost["records without a picture, which merrflow run makes"] += not found["image"]
        self._lost["clips that are not where they were, and so not in merrflow_video.json"] += not found["video"]
        if self._options.audio and found["video"]:
            found["audio"] = self._media.sound(record)
            self._lost["clips without a sound track, and so not in merrflow_omni.json"] += not found["audio"]
        for name, file in self._files.items():
            media = {kind: path for kind in DATASETS[name] if (path := found.get(kind))}
            if len(media) == len(DATASETS[name]):
                file.add(conversation(entry, media, self._options.clues))
        return ""

    def finish(self) -> tuple[str, ...]:
        info = {f"merrflow_{name}": description(f"merrflow_{name}.json", DATASETS[name]) for name in self._files}
        with whole_text(self._folder / "dataset_info.json") as file:
            json.dump(info, file, indent=2)
            file.write("\n")
        shown = {"image": "with the picture", "video": "with the clip", "omni": "with the clip and its sound"}
        counts = "; ".join(f"{shown[name]}: {file.count}" for name, file in self._files.items())
        return (f"conversations {counts}", *(f"{what}: {count}" for what, count in self._lost.items() if count))

    def _video(self, record: Record) -> str | None:
        if self._clips is None:
            return self._media.film(record)
        clip = clip_of(record)
        if not clip:
            return None
        if not clip.resolve().is_relative_to(self._clips):
            self._lost[f"clips that are not in {self._clips}"] += 1
            return None
        path = clip.resolve().relative_to(self._clips).as_posix()
        # a path that is not UTF-8 cannot be in a JSON file
        return None if path_text(Path(path)).startswith(ESCAPED) else path


class ShareGptFormat(Format[ShareGptOptions]):
    """The format `sharegpt`."""

    name = "sharegpt"
    about = "conversations for LLaMA-Factory, with the picture, the clip, or the clip and its sound"
    options_type = ShareGptOptions

    def writer(self, target: Target) -> ShareGpt:
        return ShareGpt(target.folder, target.peaks, self.options)


def conversation(entry: Entry, media: Mapping[str, str], given: str = "none") -> dict[str, Any]:
    """One example. media: path by kind ("image", "video", "audio"). given: a name of sharegpt.yaml's `given`."""
    record = entry.record
    question = load_question()
    clues = {
        "scene": record.scene.text if record.scene else "",
        "expressions": ", ".join(record.label.expressions),
        "tone": record.tone.text if record.tone else "",
        "subtitle": record.subtitle.text or "",
        "subtitle_en": record.translation.text if record.translation else "",
    }
    wanted = {name: clues[name] for name in question.given[given]}
    known = {name: clue for name, text in wanted.items() if (clue := one_line(trainable(text)))}
    lines = [line.text.replace("{clue}", known[line.needs]) for line in question.lines if line.needs in known]
    return {
        "conversations": [
            {"from": "human", "value": "\n".join(("".join(f"<{kind}>" for kind in media), *lines, question.ask))},
            {"from": "gpt", "value": trainable(entry.fine_text or "").strip()},
        ],
        "system": question.system,
        **{MEDIA[kind]: [path] for kind, path in media.items()},
        "name": record.name,
        "label": record.label.label,
    }


def description(file_name: str, kinds: tuple[str, ...]) -> dict[str, Any]:
    """What `dataset_info.json` says of one dataset. kinds: of its files, "image", "video" or "audio"."""
    media = {MEDIA[kind]: MEDIA[kind] for kind in kinds}
    return {
        "file_name": file_name,
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "system": "system", **media},
        "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"},
    }


@cache
def load_question() -> Question:
    """The question that comes with the package."""
    return read(files("merrflow.datasets.export") / "sharegpt.yaml", Question)
