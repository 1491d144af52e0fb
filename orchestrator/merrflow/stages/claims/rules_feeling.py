"""What a claim says the person feels, against the label."""

from __future__ import annotations

import re
from collections.abc import Iterator

from merrflow.stages.claims.judge import LABEL, Evidence
from merrflow.stages.claims.said import Said, contradicted, not_told, supported
from merrflow.stages.claims.words import QUOTED, denies, every, has, load_claim_words, observed
from merrflow.stages.clue_text import WORD
from merrflow.stages.grounding import load_grounding
from merrflow.stages.tone_claims import mentions

_REACH = 5  # words before a feeling, in its clause, in which a negation denies it
_AFTER = 2  # and words after it in which a hedge counts


def feeling(claim: str, evidence: Evidence) -> Iterator[Said]:
    """One, if the claim names a feeling, is not about the voice, and there is a label."""
    words, label = load_claim_words(), evidence.clues.get(LABEL, "").casefold().strip()
    plain, seen = QUOTED.sub(" ", claim), observed(claim)
    if has(seen, words.voice):
        plain = plain[len(seen) :]  # before it, the feeling is the voice's
    if not label:
        return
    named = _named(plain)
    if not named:
        return
    own = {label} | {other for pair in words.near if label in pair for other in pair}
    denied = [name for name, is_denied in named.items() if is_denied and name == label]
    if denied:
        yield contradicted(denied[0], LABEL, f"the label is {label}")
    elif asserted := [name for name, is_denied in named.items() if not is_denied]:
        if own & set(asserted) or own & _by_quality(plain):
            yield supported(asserted[0], LABEL, f"the label is {label}")
        elif label in words.feelings and not _hedged(plain, words.feeling_words[asserted[0]]):
            yield contradicted(asserted[0], LABEL, f"the label is {label}")
        else:
            yield not_told(asserted[0], f"it is not said for sure, and the label is {label}")


def _hedged(text: str, feeling: tuple[str, ...]) -> bool:
    """Whether the feeling is said with doubt, as one of several, or only as a sign. True if its word is not there."""
    match = has(text, feeling)
    if match is None:
        return True
    near = [*text[: match.start()].split()[-_REACH:], *WORD.findall(text[match.end() :])[:_AFTER]]
    return has(" ".join(near), load_claim_words().hedges) is not None


def _named(text: str) -> dict[str, bool]:
    """The labels whose words the text has -> whether it denies them."""
    found = {}
    for label, words in load_claim_words().feeling_words.items():
        if matches := every(text, words):
            found[label] = all(denies(_before(text, match)) for match in matches)
    return found | dict.fromkeys(sorted(_by_quality(text) - found.keys()), False)


def _before(text: str, match: re.Match[str]) -> str:
    return " ".join(re.split(r"[,;:]|\bbut\b", text[: match.start()])[-1].split()[-_REACH:])


def _by_quality(text: str) -> set[str]:
    """The labels with a quality that the text has and does not deny."""
    qualities = {mention.quality for mention in mentions(text, load_grounding()) if not mention.denied}
    feelings = load_claim_words().feelings
    return {label for label, own in feelings.items() if label != "neutral" and qualities & set(own)}
