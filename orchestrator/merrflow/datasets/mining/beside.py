"""What speaks for a label beside the face: the models' probabilities, the subtitle's words, the tone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from merrflow.datasets.mining.settings import MiningRules

_CLUES = {"all": "all clues", "voice": "the tone alone", "words": "the words alone"}


def beside(
    record: Mapping[str, Any] | None, sentence: str | None, label: str, names: tuple[str, ...], mining: MiningRules
) -> tuple[float, tuple[str, ...]]:
    """What is added to the face's nearness, and why. `names`: the label and its aliases."""
    total, reasons = 0.0, []
    weights = mining.beside
    distribution = (record or {}).get("distribution") or {}
    for clue, words in _CLUES.items():
        shares = distribution.get(clue) or {}
        share = shares.get(label)
        if share is None or len(shares) < 2:
            continue
        above = max(0.0, (share - 1 / len(shares)) / (1 - 1 / len(shares)))
        total += getattr(weights, clue) * above
        if above > 0:
            reasons.append(f"the reasoning model gives {label} {share:.0%} from {words}")
    subtitle = ((record or {}).get("subtitle") or {}).get("text") or sentence or ""
    if word := _found(mining.words.get(label, ()), subtitle):
        total += weights.subtitle
        reasons.append(f"the subtitle has {word!r}")
    tone = ((record or {}).get("tone") or {}).get("text") or ""
    if word := _found(names, tone):
        total += weights.tone
        reasons.append(f"the tone is said to be {word!r}")
    return total, tuple(reasons)


def _found(words: Iterable[str], text: str) -> str | None:
    """The first of the words in the text, as it is written there."""
    words = tuple(words)
    match = _pattern(words).search(text.replace("’", "'")) if words and text else None
    return match.group() if match else None


@lru_cache(maxsize=64)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    parts = (re.escape(word.removesuffix("*")) + (r"[^\W\d_]*" if word.endswith("*") else "") for word in words)
    return re.compile(rf"(?<!\w)(?:{'|'.join(parts)})(?!\w)", re.IGNORECASE)
