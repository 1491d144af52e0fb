"""Is a text English? Judged by the small words that hold its sentences together."""

from __future__ import annotations

import re

from merrflow_llama3.check_rules import check_rules


def foreign_sentence(sentences: list[str]) -> str | None:
    """A sentence whose small words belong to another language, as a reason; None if there is none."""
    rules = check_rules().language
    english, others = frozenset(rules.english.split()), frozenset(rules.others.split())
    for sentence in sentences:
        said = re.findall(r"[^\W\d_]+", sentence.lower())
        if len(said) < rules.shortest_sentence:
            continue
        own, foreign = sum(word in english for word in said), sum(word in others for word in said)
        if (foreign >= 2 and foreign > own) or (own == 0 and len(said) > rules.longest_without):
            return f'a sentence is not English: "{sentence[:60]}"'
    return None
