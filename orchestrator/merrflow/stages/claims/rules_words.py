"""Quotations, people, and whether a clue has the claim's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rapidfuzz import fuzz

from merrflow.stages.claims.judge import LABEL, WORDS, Evidence, Finding
from merrflow.stages.claims.said import Said, contradicted, not_told, supported
from merrflow.stages.claims.words import QUOTED, content, has, load_claim_words
from merrflow.stages.language import language

LEAST_ALIKE = 90.0  # of a quotation and a part of the clue, 0 to 100 (rapidfuzz partial ratio)
LEAST_SHARE = 0.5  # of the claim's words that one clue must have
MOST_UNKNOWN = 2  # words that no clue has, beside something that is judged
_LEAST_LETTERS = 8  # of a quotation that may differ in a letter or two


def quotations(claim: str, evidence: Evidence) -> Iterator[Said]:
    """One for each quotation."""
    for match in QUOTED.finditer(claim):
        quote = _plain(match.group())
        holding = [name for name, text in evidence.told.items() if quote and _within(quote, _plain(text))]
        said = evidence.told.get(WORDS, "")
        if not quote or holding:
            yield supported(match.group(), holding[0] if holding else WORDS, "quoted as it is")
        elif said and language(said) in ("en", ""):
            yield contradicted(match.group(), WORDS, "what is said is other words")
        else:
            yield not_told(match.group(), "no clue has this quotation")


def people(claim: str, evidence: Evidence) -> Iterator[Said]:
    """A woman where a clue knows men alone, or a man where it knows women alone."""
    words, plain = load_claim_words(), QUOTED.sub(" ", claim)
    sexes = ((words.women, words.she, words.men), (words.men, words.he, words.women))
    for own, pronouns, others in sexes:
        match = has(plain, own + pronouns)
        clues = {name: text for name, text in evidence.told.items() if name not in (WORDS, LABEL)}
        if match is None or any(has(text, own) for text in clues.values()):
            continue
        for name, text in clues.items():
            if other := has(text, others):
                yield contradicted(match.group(), name, f"it says “{other.group()}”")
                break


def rest(claim: str, evidence: Evidence, said: Sequence[Said]) -> list[Said]:
    """The claim's words that no rule has judged."""
    judged = {stem for one in said for stem in content(one.words)}
    left = content(QUOTED.sub(" ", claim)) - judged
    known = {name: content(text) for name, text in evidence.told.items()}
    unknown = sorted(left - frozenset().union(*known.values()))
    if said:
        if len(unknown) < MOST_UNKNOWN or len(unknown) <= len(left) / 2:
            return []
    elif left and (best := max(known, key=lambda name: len(left & known[name]))):
        share = len(left & known[best]) / len(left)
        if share > LEAST_SHARE or len(unknown) < len(left) * (1 - LEAST_SHARE):
            return [Said(Finding.SUPPORTED, claim, best, f"{share:.0%} of its words are in this clue")]
    return [not_told(claim, f"no clue says {', '.join(unknown[:5])}")] if unknown else []


def _plain(text: str) -> str:
    return "".join(letter if letter.isalnum() else " " for letter in text.casefold()).strip()


def _within(quote: str, text: str) -> bool:
    quote, text = " ".join(quote.split()), " ".join(text.split())
    if f" {quote} " in f" {text} ":
        return True
    return _LEAST_LETTERS <= len(quote) <= len(text) + 3 and fuzz.partial_ratio(quote, text) >= LEAST_ALIKE
