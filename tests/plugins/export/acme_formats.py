"""An export format that another distribution adds."""

from __future__ import annotations

from pydantic import Field

from merrflow.core.atomic_files import whole_text
from merrflow.datasets.export import Entry, Format, FormatOptions, Target, Writer


class CaptionOptions(FormatOptions):
    """Given with `--option NAME=VALUE`."""

    upper: bool = Field(False, description="in capital letters")


class CaptionFile(Writer):
    """Writes `captions.txt`, a line each for clips with a fine-grained description."""

    def __init__(self, target: Target, options: CaptionOptions) -> None:
        super().__init__()
        self._upper = options.upper
        self._file = self.files.enter_context(whole_text(target.folder / "captions.txt"))

    def add(self, entry: Entry) -> str:
        if entry.fine_text is None:
            return "no fine-grained description"
        text = " ".join(entry.fine_text.split())
        self._file.write(f"{entry.record.name}: {text.upper() if self._upper else text}\n")
        return ""


class Captions(Format[CaptionOptions]):
    name = "captions"
    about = "a text file with a caption a line"
    options_type = CaptionOptions

    def writer(self, target: Target) -> CaptionFile:
        return CaptionFile(target, self.options)
