"""Is something said, or is it denied? One search for all who ask."""

from __future__ import annotations

import re
from collections.abc import Iterator

from merrflow_llama3.check_rules import Words, pattern

_REACH = 3  # words before what is said in which a denial is looked for
_BREAK = re.compile(r"[,;:.!?]")


def asserted(phrases: re.Pattern[str], text: str, denials: Words, *, inside: bool = True) -> Iterator[re.Match[str]]:
    """The matches in the text without a denial in the three words before, within the same clause.

    inside: a denial within the match counts too ("the voice is not loud"); not if phrases are denials themselves.
    """
    for found in phrases.finditer(text):
        before = _BREAK.split(text[: found.start()])[-1].split()[-_REACH:]
        if not pattern(denials).search(f"{' '.join(before)} {found.group(0) if inside else ''}"):
            yield found
