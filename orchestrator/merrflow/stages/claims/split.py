"""Splits a text into claims: its sentences, and clauses of a sentence that each have a verb of their own."""

from __future__ import annotations

import re

from merrflow.stages.claims.words import QUOTED, content
from merrflow.stages.clue_text import sentences
from merrflow.stages.coarse import is_sentence
from merrflow.stages.coarse_template import load_template

MOST_CHARACTERS, MOST_CLAIMS = 20_000, 100  # of a text; what is longer is no caption
_JOINT = re.compile(r"\s*[;,]?\s+(?:and|while|but|whereas|although|though|yet)\s+|\s*;\s+|\s+[—–]\s+", re.IGNORECASE)


def split(text: str) -> list[str]:
    """The claims in order, each without a stop at its end. Clauses that claim nothing ("this is a video") are left out.

    A quotation is never cut. A clause without a verb stays with the one before it ("loud and fast").
    """
    found: list[str] = []
    for sentence in sentences(" ".join(text[:MOST_CHARACTERS].split()), load_template().abbreviations.split()):
        found += _clauses(sentence)
    kept = (clause.strip(" ,;.") for clause in found)
    return [clause for clause in kept if content(clause) or QUOTED.search(clause)][:MOST_CLAIMS]


def _clauses(sentence: str) -> list[str]:
    masked = QUOTED.sub(lambda match: "\0" * len(match.group()), sentence)
    starts, ends = [0], []
    for joint in _JOINT.finditer(masked):
        left, right = masked[starts[-1] : joint.start()], masked[joint.end() :]
        after = _JOINT.split(right, maxsplit=1)[0]
        if _has_verb(left) and _has_verb(after):
            ends.append(joint.start())
            starts.append(joint.end())
    return [sentence[start:end] for start, end in zip(starts, [*ends, len(sentence)], strict=True)]


def _has_verb(clause: str) -> bool:
    return is_sentence(clause.replace("\0", " "), load_template())
