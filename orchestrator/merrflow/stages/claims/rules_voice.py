"""What a claim says of the voice, against what was measured and what the clues say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache

from merrflow.stages.claims.judge import LABEL, VOICE, WORDS, Evidence
from merrflow.stages.claims.said import Said, contradicted, not_told, supported
from merrflow.stages.claims.words import has, load_claim_words, of_voice
from merrflow.stages.grounding import CONTRADICTED, SUPPORTED, ground, load_grounding
from merrflow.stages.tone_claims import Mention, mentions

_OF_THE_CLIP = ("speech",)  # that somebody speaks is seldom what a sentence is about


def voice(claim: str, evidence: Evidence) -> Iterator[Said]:
    """One for each quality, if the claim is about the voice."""
    claim = of_voice(claim)
    if not claim:
        return
    rules, words = load_grounding(), load_claim_words()
    measured = {}
    if evidence.tone is not None:
        measured = {one.quality: one for one in ground(replace(evidence.tone, text=claim))}
    told = {name: mentions(text, rules) for name, text in evidence.told.items() if name not in (LABEL, WORDS)}
    for mention in mentions(claim, rules):
        if mention.quality in _OF_THE_CLIP or mention.doubted or has(mention.words, words.not_of_voice):
            continue
        name = f"not {mention.quality}" if mention.denied else mention.quality
        found = measured.get(name)
        if found and found.verdict == CONTRADICTED:
            yield contradicted(mention.words, VOICE, found.reason)
        elif found and found.verdict == SUPPORTED:
            yield supported(mention.words, VOICE, found.reason)
        else:
            yield _by_words(mention, told)


def _by_words(mention: Mention, told: dict[str, list[Mention]]) -> Said:
    for name in sorted(told, key=lambda name: name != VOICE):
        for other in told[name]:
            if other.quality == mention.quality and other.denied == mention.denied:
                return supported(mention.words, name, f"“{other.words}”")
    for name in sorted(told, key=lambda name: name != VOICE):
        for other in told[name]:
            same = other.quality == mention.quality and other.denied != mention.denied
            apart = not (other.denied or mention.denied) and _opposed(other.quality, mention.quality)
            if (same or apart) and not other.doubted:
                return contradicted(mention.words, name, f"it says “{other.words}”")
    return not_told(mention.words, f"no clue says that the voice is {mention.quality}")


@cache
def _opposed(one: str, other: str) -> bool:
    """Whether two qualities exclude each other: by the file, or because one's range contradicts the other's."""
    pair = {one, other}
    if any(pair == set(listed) for listed in load_claim_words().opposed_qualities):
        return True
    rules = load_grounding()
    return rules.quality(one).excludes(rules.quality(other))
