"""Does an answer claim what its own clues deny, or do not tell? Checks over the content, as `checks` has for the form.

They look at sentences outside quotation marks and at phrases of `data/checks.yaml`; what they cannot judge they let
pass. Pure functions over text and prepared clues; each returns why not, or None.
"""

from __future__ import annotations

import re
from functools import cache

from merrflow_llama3.lexicon import label_words, word_list
from merrflow_llama3.rules import VoiceQuality, Words, pattern, rules, source
from merrflow_llama3.text import words
from merrflow_llama3.types import Clues

_REACH = 3  # words in which a negation is looked for before a claim
_BEFORE_NOUN = r"(?:[\s,]+(?:and[\s]+)?(?!(?:the|a|an|his|her|their|while|as)\b)[\w'-]+){0,2}[\s]+"
_AFTER_NOUN = (
    r"(?:[\s]+(?:is|are|was|were|being|sounds?|sounding|remains?|stays?|seems?|becomes?)"
    r"(?:[\s]+(?!(?:the|his|her|their|while|who)\b)[\w'-]+){0,3}|(?:[\s]+(?:very|too|so|rather|quite|\w+ly)){0,2})[\s]+"
)


def voice_claim(sentences: list[str], clues: Clues) -> str | None:
    """A quality of the voice that the tone clue denies: "high pitch" where it says "low-pitched"."""
    softened = rf"\b(?:{'|'.join(sorted(word_list('voice_softeners')))})\s+[\w-]+"
    tone = re.sub(softened, "", clues.tone, flags=re.IGNORECASE)
    for quality in rules().voice:
        denied = pattern(quality.against).search(tone)
        if not denied or pattern(quality.says + quality.alone).search(clues.tone):
            continue
        for sentence in sentences:
            said = _affirmed(_voice_pattern(quality), sentence)
            if said:
                return f'"{said}" against the voice clue\'s "{denied.group(0)}"'
    return None


def face_claim(sentences: list[str], clues: Clues) -> str | None:
    """An expression that no clue tells: "smiling" where neither face nor scene says so."""
    told = " ; ".join((clues.scene, *clues.expressions, clues.tone, clues.subtitle))
    for claim in rules().face:
        if pattern(claim.told_by).search(told):
            continue
        for sentence in sentences:
            said = _affirmed(pattern(claim.says), sentence)
            if said:
                return f'"{said}" is told by no clue'
    return None


def other_feeling(sentences: list[str], label: str) -> str | None:
    """A feeling of another label, said to be the person's: "she feels happy" where the label is "sad"."""
    if not label:
        return None
    told = rules().feeling
    own = _families(label)
    near = {other for family in own for other in told.near[family]}
    spared = {word for family in own | near for word in told.words[family]}
    own_name = pattern(tuple(f"{beginning}*" for beginning in label_words(label).named_by))
    for other, feelings in told.words.items():
        if other in own | near:
            continue
        for sentence in sentences:
            claimed = _feeling_pattern(tuple(feeling for feeling in feelings if feeling not in spared)).search(sentence)
            if claimed and not own_name.search(sentence) and not pattern(told.taken_back).search(sentence):
                return f'"{claimed.group(0)}" where the label is "{label}"'
    return None


def english_words(sentences: list[str]) -> str | None:
    """A sentence whose small words are of another language."""
    told = rules().language
    english, others = frozenset(told.english.split()), frozenset(told.others.split())
    for sentence in sentences:
        said = re.findall(r"[^\W\d_]+", sentence.lower())
        if len(said) < told.shortest_sentence:
            continue
        own, foreign = sum(word in english for word in said), sum(word in others for word in said)
        if (foreign >= 2 and foreign > own) or (own == 0 and len(said) > told.longest_without):
            return f'a sentence is not English: "{sentence[:60]}"'
    return None


@cache
def _voice_pattern(quality: VoiceQuality) -> re.Pattern[str]:
    noun, says, alone = source(rules().voice_nouns), source(quality.says), source(quality.alone)
    return re.compile(f"{alone}|{says}{_BEFORE_NOUN}{noun}|{noun}{_AFTER_NOUN}{says}", re.IGNORECASE)


@cache
def _feeling_pattern(feelings: Words) -> re.Pattern[str]:
    told = rules().feeling
    between = rf"(?:[\s,]+{source(told.between)})*"
    by_person = rf"{source(told.who)}(?:[\s,]+{source(told.between)})*[\s]+{source(told.feels)}"
    by_state = rf"(?:'s|\b(?:his|her|their|the))(?:[\s]+[\w-]+){{0,2}}[\s]+{source(told.states)}[\s]+(?:is|as|was)"
    return re.compile(rf"(?:{by_person}|{by_state}){between}[\s]+{source(feelings)}", re.IGNORECASE)


def _families(label: str) -> set[str]:
    """The label itself, or for one that the rules do not know the labels whose feeling it names ("joy": happy)."""
    told = rules().feeling.words
    if label in told:
        return {label}
    return {known for known in told if set(words(label)) & set(told[known])}


def _affirmed(claim: re.Pattern[str], sentence: str) -> str | None:
    """The first claim in the sentence that no negation precedes."""
    for found in claim.finditer(sentence):
        before = re.split(r"[,;:]", sentence[: found.start()])[-1].split()[-_REACH:]
        inside = found.group(0)
        if not pattern(rules().negations).search(f"{' '.join(before)} {inside}"):
            return " ".join(inside.split())
    return None
