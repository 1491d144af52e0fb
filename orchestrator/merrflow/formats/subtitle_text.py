"""What is said in cues: tags, entities and sound descriptions off, captions that roll over joined."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from merrflow.formats.subtitle_cues import RawCue

_ROLLS = 2  # cues that roll while they touch make it a rolling file, in which they do so across gaps too
TOUCHING = 0.05  # seconds; rolling captions follow each other at once, and what is said twice has a gap (BBC: 1.5 s)
_DESCRIPTION = re.compile(r"^[\[(（【♪♫#*][^\])）】]*[\])）】♪♫#*]$")  # [music], (laughs), ♪ la la ♪
# Tags by name: any other "<" is a sign. Bounded, so that a line of "<c<c<c" takes linear time.
_TAG = re.compile(
    r"<\s{0,3}/?\s{0,3}(?:"
    r"(?:i|b|u|s|em|strong|ruby|rt|rp|big|small|br|tt|strike|del|p|c|v|lang)(?:\.[\w.-]{0,60})?\s{0,3}/?"
    r"|(?:v|lang)(?:\.[\w.-]{0,60})?\s[^<>\n]{0,200}"
    r"|(?:font|span|div|p|ruby|br|a)\s[^<>\n]{0,5}[\w-]{1,20}\s?=[^<>\n]{0,200}"
    r"|font|span|div"
    r"|\d{1,4}:\d\d(?::\d\d)?(?:[.,]\d{1,3})?"  # the time of a word
    r")>",
    re.IGNORECASE,
)
_OVERRIDE = re.compile(r"\{\\[^{}\n]{0,200}\}")  # {\an8}, which players take in .srt too
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_BLANKS = re.compile(r"\s+")
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_END_OF_SENTENCE = ".!?…。！？"


@dataclass(frozen=True)
class Cue:
    """One subtitle of a file, without tags."""

    start: float  # seconds from the start of the clip
    end: float  # seconds
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """Its lines in one."""
        return " ".join(self.lines)


def spoken(cues: Iterable[RawCue]) -> tuple[Cue, ...]:
    """Those in which something is said, each once: styled files draw the same text several times."""
    found = (Cue(cue.start, cue.end, plain_lines(cue.text)) for cue in cues if cue.end > cue.start)
    return tuple(dict.fromkeys(cue for cue in found if cue.lines))


def plain_lines(text: str) -> tuple[str, ...]:
    """The lines of spoken text: no tags, then no entities, no sound descriptions."""
    kept = []
    for raw in _OVERRIDE.sub("", _TAG.sub(_instead, text)).split("\n"):
        if not raw or raw.isspace():
            continue
        shown = _ENTITY.sub(lambda entity: html.unescape(entity.group()), raw)
        line = _BLANKS.sub(" ", _UNSEEN.sub("", shown)).strip()
        if line and not _DESCRIPTION.match(line):
            kept.append(line)
    return tuple(kept)


def _instead(tag: re.Match[str]) -> str:
    return "\n" if "br" in tag.group().lower()[:6] else ""


def overlapping(cues: Iterable[Cue], seconds: float) -> Sequence[str]:
    """Texts shown between 0 and `seconds`, one for each cue that has new words.

    What a rolling caption repeats counts once, what is said again counts again.
    """
    shown = [cue for cue in cues if cue.start < seconds and cue.end > 0]
    rolling = sum(_touch(one, other) and _rolls(one, other) for one, other in pairwise(shown)) >= _ROLLS
    texts: list[list[str]] = []
    for before, cue in zip([None, *shown], shown, strict=False):
        if before is None or not (_touch(before, cue) or (rolling and _rolls(before, cue))):
            texts.append(list(cue.lines))
            continue
        new = list(_new_lines(before.lines, cue.lines))
        if new and texts[-1] and texts[-1][-1] == before.lines[-1] and _grows(texts[-1][-1], new[0]):
            texts[-1][-1] = new.pop(0)
        texts += [new] if new else []
    return [" ".join(lines) for lines in texts]


def _touch(before: Cue, now: Cue) -> bool:
    return now.start - before.end <= TOUCHING


def _rolls(before: Cue, now: Cue) -> bool:
    """Whether a cue begins with lines that were on screen before, and has others."""
    return 0 < len(_new_lines(before.lines, now.lines)) < len(now.lines)


def _new_lines(before: Sequence[str], now: Sequence[str]) -> Sequence[str]:
    """The lines of a cue that were not on screen before."""
    for count in range(min(len(before), len(now)), 0, -1):
        if before[-count:] == now[:count] or before[:count] == now[:count]:
            return now[count:]
    return () if " ".join(now) == " ".join(before) else now


def _grows(line: str, longer: str) -> bool:
    """Whether a caption that appears word by word shows more of one line."""
    if line[-1:] in _END_OF_SENTENCE or not longer.startswith(line):
        return False
    return len(longer) > len(line) and (longer[len(line)] in " ,.!?…" or not line[-1].isascii())
