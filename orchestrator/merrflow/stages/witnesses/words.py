"""What is said as a witness: valence of strong words, in English and Chinese."""

from __future__ import annotations

import re
from functools import lru_cache

from merrflow.core.labels import Vote
from merrflow.stages.witnesses.case import Case, abstains, speaks_against, speaks_for
from merrflow.stages.witnesses.rules import Witnesses, WordRules

NAME = "words"
_CHINESE = "zh"
_SURPRISE = "surprise"
_CLAUSE = re.compile(r"[.!?,;:。！？，；：\n]+")


def vote(case: Case, rules: Witnesses) -> Vote:
    """Words whose valence agrees with the label's speak for it, those of the opposite valence against it. Words of
    surprise speak for that label alone."""
    said, label = case.said, case.found.label
    if not said.text:
        return abstains(NAME, "nothing that is said is known")
    if said.language not in rules.words.positive:
        return abstains(NAME, f"no list of words for the language {said.language or '(unknown)'}")
    if said.confidence is not None and said.confidence < rules.words.heard_share:
        return abstains(NAME, f"the words were read or recognised with a confidence of {said.confidence:.2f} only")
    found = strong_words(said.text, said.language, rules.words)
    if label != _SURPRISE:  # which goes with labels of any valence
        found = [(word, sign) for word, sign in found if sign != _SURPRISE]
    signs = {sign for _, sign in found}
    shown = ", ".join(f"“{word}”" for word, _ in found)
    if not found:
        return abstains(NAME, "no strong word is said")
    if _SURPRISE in signs:
        return speaks_for(NAME, label, rules.words.weight, f"{shown} is said, which goes with {label}")
    if len(signs) > 1:
        return abstains(NAME, f"the words point both ways: {shown}")
    sign, own = signs.pop(), rules.valence.get(label)
    if sign == own:
        return speaks_for(NAME, label, rules.words.weight, f"{shown} is said, which goes with {label}")
    if {sign, own} == {"positive", "negative"} or own == "neutral":
        reason = f"{shown} is said, which is {sign} and does not go with {label}"
        return speaks_against(NAME, "", rules.words.against_weight, reason)
    return abstains(NAME, f"{shown} is said, which speaks neither for nor against {label}")


def strong_words(text: str, language: str, rules: WordRules) -> list[tuple[str, str]]:
    """The strong words with their sign: "positive", "negative" or "surprise". A negated word is left out, for "not
    happy" may be anything from sad to calm."""
    found = []
    for clause in _CLAUSE.split(text.replace("’", "'")):
        for sign in ("positive", "negative", _SURPRISE):
            listed: tuple[str, ...] = getattr(rules, sign).get(language, ())
            for match in _pattern(listed, language).finditer(clause):
                before = clause[: match.start()]
                if not _negated(before, language, rules):
                    found.append((match.group(), sign))
    return found


def _negated(before: str, language: str, rules: WordRules) -> bool:
    reach = rules.negation_reach
    negations = rules.negations.get(language, ())
    if language == _CHINESE:
        return any(word in before[-reach:] for word in negations)
    return any(word in negations or word.endswith("n't") for word in before.casefold().split()[-reach:])


@lru_cache(maxsize=64)
def _pattern(listed: tuple[str, ...], language: str) -> re.Pattern[str]:
    if not listed:
        return re.compile(r"(?!)")
    ordered = sorted(listed, key=len, reverse=True)
    parts = (re.escape(word.removesuffix("*")) + (r"\w*" if word.endswith("*") else "") for word in ordered)
    body = "|".join(parts)
    return re.compile(body if language == _CHINESE else rf"(?<![\w'])(?:{body})(?![\w'])", re.IGNORECASE)
