"""What MERR's files say of a clip, and what their readers share."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from merrflow.core.errors import InputError

NUMBER = re.compile(r"[0-9]{1,9}")
_NO_SENTENCE = frozenset({"", "None"})  # the published files write Python's None if nothing is said
_SHOWN = 80  # characters of a wrong value in a message


@dataclass(frozen=True)
class MerrAnnotation:
    """What one of MERR's files says of one clip; None: the file does not say."""

    name: str
    label: str | None = None  # pseu_emotion
    frame_count: int | None = None  # TXT only
    sentence: str | None = None  # text; of the CSV: sentence
    peak_index: int | None = None  # frame number from 0
    peak_units: tuple[str, ...] | None = None  # peak_AU_list: all AUs present at the peak
    units: tuple[str, ...] | None = None  # AU_list as written: the label's AUs that are present
    phrases: tuple[str, ...] | None = None  # visual_prior_list: one for each of `units`
    tone: str | None = None  # audio_prior_list
    coarse: str | None = None  # caption
    fine: str | None = None  # smp_reason_caption
    line: int | None = field(default=None, compare=False)  # in the file; TXT and CSV only
    other_names: tuple[str, ...] = ()  # under which the clip's file may be found too; of tables with a layout
    unlike: str = ""  # a data set's label that has no counterpart here

    def place(self, file: object) -> str:
        """Where the clip is in the file, for messages."""
        line = f", line {self.line}" if self.line else ""
        return f"{file}{line}: clip {self.name!r}"


def read_text(path: Path) -> str:
    """A file in UTF-8. Raises `InputError`."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: cannot be read (not a file)")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not text in UTF-8 (byte {error.start})") from error


def sentence(text: str | None) -> str | None:
    """What is said; None if the file says that nothing is."""
    text = (text or "").strip()
    return None if text in _NO_SENTENCE else text


def shown(value: object) -> str:
    """A wrong value in a message."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
