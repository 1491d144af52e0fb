"""Cues of `.srt`, `.vtt`, `.lrc` and `.ass`/`.ssa`: times, and what is shown at them, with its tags.

.ass and .ssa are read by pysubs2. For the others it does not serve: it has no .lrc, adds the number of an empty cue,
the name of the next one and NOTE blocks to what is said, drops what begins before zero, and needs a dot in .vtt. Its
regular expressions for tags take quadratic time too; here every expression takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

MAX_CUES = 5_000  # eight hours of speech
MAX_CHARACTERS = 4_000  # of a cue, tags included; a two-line cue of a web platform, with the time of each word, has 600
_STAMP = r"([-−]?)(?:(\d{1,4}):)?([-−]?\d{1,3}):([-−]?\d{1,2})(?:[.,:]([-−]?\d{1,6}))?"
_TIMES = re.compile(rf"\s{{0,20}}{_STAMP}\s{{0,9}}-{{1,3}}>\s{{0,9}}{_STAMP}(?![\d:])")
_LRC_STAMP = re.compile(r"\s{0,9}\[(\d{1,4}):(\d{1,2})(?:[.:,](\d{1,3}))?\]")
_LRC_OFFSET = re.compile(r"\s{0,9}\[offset:\s{0,9}([+-]?\d{1,9})\s{0,9}\]", re.IGNORECASE)
_NUMBER = re.compile(r"\s{0,9}\d{1,9}\s{0,9}")


class BadSidecar(ValueError):
    """A subtitle file or track that cannot be used; the message says why."""


@dataclass(frozen=True)
class RawCue:
    """A cue as it is in the file."""

    start: float  # seconds; may be below zero
    end: float  # seconds; infinity for the last line of an .lrc
    text: str  # with tags; lines end in "\n"


def parse(text: str, suffix: str) -> list[RawCue]:
    """The cues of a file's text in order of time, at most `MAX_CUES`. suffix: in lower case, such as ".srt".

    Raises `BadSidecar` if there is none, or one is beyond the bounds.
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if suffix in (".ass", ".ssa"):
        cues = _substation(lines)
    elif suffix == ".lrc":
        cues = _lyrics(lines)
    else:
        cues = list(_timed(lines))
    return in_order(cues)


def in_order(cues: Sequence[RawCue]) -> list[RawCue]:
    """Cues by time. Raises `BadSidecar` as `parse` does."""
    if not cues:
        raise BadSidecar("no subtitle with a time is in it")
    if len(cues) > MAX_CUES:
        raise BadSidecar(f"it has more than {MAX_CUES} subtitles")
    for cue in cues:
        if len(cue.text) > MAX_CHARACTERS:
            raise BadSidecar(f"the subtitle at {cue.start:.3f} s has more than {MAX_CHARACTERS} characters")
    return sorted(cues, key=lambda cue: (cue.start, cue.end))


def _timed(lines: Sequence[str]) -> Iterator[RawCue]:
    """.srt and .vtt, which differ in where a cue ends: before the next, or at an empty line."""
    ends_at_empty = next((line for line in lines if line.strip()), "").startswith("WEBVTT")
    found = [(place, times) for place, line in enumerate(lines) if (times := _times(line))]
    number = _without_number(list(lines[: found[0][0]]), 0) if found else 0
    for (place, (start, end)), (after, _) in pairwise([*found, (len(lines), (0.0, 0.0))]):
        said = list(lines[place + 1 : after])
        if ends_at_empty:
            said = said[: said.index("")] if "" in said else said
        if after < len(lines):
            number = _without_number(said, number)
        yield RawCue(start, end, "\n".join(said).strip("\n"))


def _without_number(said: list[str], number: int) -> int:
    """Takes the next cue's number off the end of what is said in this one. Returns it, or `number` if it has none.

    A number may also be said. So it is one of a cue if nothing, or an empty line, is before it, or if it follows
    `number`; and, with an empty line behind it, only the latter.
    """
    last = len(said)
    while last and not said[last - 1].strip():
        last -= 1
    if not last or not _NUMBER.fullmatch(said[last - 1]):
        return number
    found = int(said[last - 1])
    alone = last == len(said) and (last == 1 or not said[last - 2].strip())
    if not alone and found != number + 1:
        return number
    del said[last - 1 :]
    return found


def _times(line: str) -> tuple[float, float] | None:
    """Start and end in seconds, if it is a line of times."""
    if "->" not in line:
        return None
    match = _TIMES.match(line)
    return (_seconds(match.groups()[:5]), _seconds(match.groups()[5:])) if match else None


def _seconds(parts: Sequence[str | None]) -> float:
    """Of sign, hours, minutes, seconds and the digits behind the point. A minus anywhere is one of the whole."""
    sign, *numbers = (part or "0" for part in parts)
    hours, minutes, seconds, fraction = (number.lstrip("-−") or "0" for number in numbers)
    total = int(hours) * 3600 + int(minutes) * 60 + float(f"{int(seconds)}.{fraction}")
    return -total if sign != "0" or any(number[0] in "-−" for number in numbers) else total


def _lyrics(lines: Sequence[str]) -> list[RawCue]:
    """.lrc: a line lasts to the next, and may have several times. `[offset:+500]`: all come half a second sooner."""
    lines = [line for line in lines if "[" in line]
    offset = next((int(match[1]) / 1000 for line in lines if (match := _LRC_OFFSET.match(line))), 0.0)
    found: list[tuple[float, str]] = []
    for line in lines:
        at, times = 0, []
        while match := _LRC_STAMP.match(line, at):
            times.append(int(match[1]) * 60 + int(match[2]) + float(f"0.{match[3] or 0}") - offset)
            at = match.end()
        if len(found) + len(times) > MAX_CUES:
            raise BadSidecar(f"it has more than {MAX_CUES} subtitles")
        text = line[at:]
        found += [(time, text) for time in times]
    found.sort(key=lambda one: one[0])
    ends = [start for start, _ in found[1:]] + [float("inf")]
    return [RawCue(start, end, text) for (start, text), end in zip(found, ends, strict=False)]


def _substation(lines: Sequence[str]) -> list[RawCue]:
    """.ass and .ssa: what is shown of the dialogue lines. Fonts, styles and drawings are not even parsed."""
    import pysubs2

    kept = [line for line in map(str.strip, lines) if line.startswith("Dialogue:")]
    if len(kept) > MAX_CUES:
        raise BadSidecar(f"it has more than {MAX_CUES} subtitles")
    kind = "ssa" if any(line.partition(",")[0].endswith(("=0", "=1")) for line in kept) else "ass"
    text = "\n".join(["[Events]", *(_without_numbers(line, kind) for line in kept)])
    try:
        file = pysubs2.SSAFile.from_string(text, format_=kind)
    except Exception as error:  # a parser fed with arbitrary bytes may raise anything
        raise BadSidecar(f"it is not a subtitle file ({' '.join(str(error).split())[:80]})") from error
    return [RawCue(event.start / 1000, event.end / 1000, dialogue(event.text)) for event in file.events]


def _without_numbers(line: str, kind: str) -> str:
    """A dialogue line without its layer and margins, of which nobody asks, and pysubs2 warns if they are no numbers."""
    fields = line.split(",", 9)  # layer, start, end, style, name, three margins, effect, text
    if kind == "ass":  # .ssa has no layer
        fields[0] = "Dialogue: 0"
    fields[5:8] = ["0"] * len(fields[5:8])
    return ",".join(fields)


def dialogue(text: str) -> str:
    """What is shown of an .ass event's text: no override blocks and drawings."""
    parts: list[str] = []
    at, draws = 0, False
    while (opening := text.find("{", at)) >= 0 and (closing := text.find("}", opening)) >= 0:
        parts += [] if draws else [text[at:opening]]
        for scale in re.findall(r"\\p(\d)", text[opening:closing]):
            draws = scale != "0"
        at = closing + 1
    parts += [] if draws else [text[at:]]
    return "".join(parts).replace(r"\N", "\n").replace(r"\n", "\n").replace(r"\h", " ")
