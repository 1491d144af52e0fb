"""Text that nobody vouches for, in a table of Prefect's: its older pages take a cell for Markdown and HTML, its newer
ones show it as it is. So markup is broken up by a sign that nobody sees, rather than escaped by one that people would
see."""

from __future__ import annotations

import re

JOINER = "\u2060"  # word joiner: it has no width and is no white space
_BEGINS = re.compile(r"<|\]|:(?=//)|\bwww(?=\.)|@", re.IGNORECASE)  # of tags, links, pictures and addresses


def inert(text: str) -> str:
    """The text without anything that a page would make a link, a picture or a tag of."""
    return _BEGINS.sub(lambda found: found[0] + JOINER, text)


def as_written(text: str) -> str:
    """The text that `inert` was given."""
    return text.replace(JOINER, "")
