"""Is an answer faithful to its clues? It must not say what they deny, or show what they do not mention.

`checks` judges the form of an answer, this module its content: sentences outside quotation marks, by the phrases of
`data/checks.yaml`. What those cannot judge passes. Pure functions of text and prepared clues; each returns the reason
why the answer fails, or None.
"""

from __future__ import annotations

import re
from functools import cache

from merrflow_llama3.check_rules import VoiceQuality, Words, check_rules, pattern, pattern_source
from merrflow_llama3.denial import asserted
from merrflow_llama3.lexicon import label_words, word_list
from merrflow_llama3.text import words
from merrflow_llama3.types import Clues

_BEFORE_NOUN = r"(?:[\s,]+(?:and[\s]+)?(?!(?:the|a|an|his|her|their|while|as)\b)[\w'-]+){0,2}[\s]+"
_AFTER_NOUN = (
    r"(?:[\s]+(?:is|are|was|were|being|sounds?|sounding|remains?|stays?|seems?|becomes?)"
    r"(?:[\s]+(?!(?:the|his|her|their|while|who)\b)[\w'-]+){0,3}|(?:[\s]+(?:very|too|so|rather|quite|\w+ly)){0,2})[\s]+"
)


def denied_voice(sentences: list[str], clues: Clues) -> str | None:
    """A quality of the voice that the tone clue denies: "high pitch" although it says "low-pitched"."""
    softened = rf"\b(?:{'|'.join(sorted(word_list('voice_softeners')))})\s+[\w-]+"
    tone = re.sub(softened, "", clues.tone, flags=re.IGNORECASE)
    for quality in check_rules().voice:
        measured = tuple(phrase for phrase in quality.against if phrase.split()[0] in word_list("voice_softeners"))
        denied = pattern(quality.against).search(tone) or pattern(measured).search(clues.tone)
        if not denied or pattern(quality.says + quality.alone).search(clues.tone):
            continue
        for sentence in sentences:
            said = _asserted(_voice_pattern(quality), sentence)
            if said:
                return f'"{said}" against the voice clue\'s "{denied.group(0)}"'
    return None


def voice_beyond(text: str, clues: Clues) -> bool:
    """Whether a quality is said of the voice that the tone clue does not have."""
    return any(
        _asserted(_voice_pattern(quality), text) and not pattern(quality.says + quality.alone).search(clues.tone)
        for quality in check_rules().voice
    )


def unmentioned_expression(sentences: list[str], clues: Clues) -> str | None:
    """An expression that no clue mentions: "smiling" although neither face nor scene says so."""
    mentioned = " ; ".join((clues.scene, *clues.expressions, *clues.other_expressions, clues.tone, clues.subtitle))
    for expression in check_rules().face:
        if pattern(expression.told_by).search(mentioned):
            continue
        for sentence in sentences:
            said = _asserted(pattern(expression.says), sentence)
            if said:
                return f'"{said}" is told by no clue'
    return None


def other_feeling(sentences: list[str], label: str) -> str | None:
    """A feeling of another label, said to be the person's: "she feels happy" although the label is "sad"."""
    if not label:
        return None
    rules = check_rules().feeling
    own = _known_labels(label)
    near = {other for known in own for other in rules.near[known]}
    allowed = {word for known in own | near for word in rules.words[known]}
    own_name = pattern(tuple(f"{beginning}*" for beginning in label_words(label).named_by))
    for other, feelings in rules.words.items():
        if other in own | near:
            continue
        distant = _feeling_pattern(tuple(feeling for feeling in feelings if feeling not in allowed))
        for sentence in sentences:
            said = distant.search(sentence)
            if said and not own_name.search(sentence) and not pattern(rules.taken_back).search(sentence):
                return f'"{said.group(0)}" where the label is "{label}"'
    return None


def negated_label(sentences: list[str], label: str) -> str | None:
    """The person is said not to feel the label ("does not feel angry"), or to be moved by a distant feeling ("anger
    drives this")."""
    known = _known_labels(label)
    if not known:
        return None
    rules = check_rules().feeling
    near = {other for one in known for other in rules.near[one]}
    own = pattern_source(word for one in known for word in rules.words[one])
    who, feels = pattern_source(rules.who), pattern_source(("feel", "feels", "feeling"))
    denied = re.compile(
        rf"{who}\s+(?:does not|doesn't|do not|did not|is not|isn't|never|hardly)\s+(?:{feels}\s+)?{own}"
        rf"|(?:rather than|instead of|anything but|far from|no longer)\s+(?:{feels}\s+)?{own}",
        re.IGNORECASE,
    )
    allowed = {word for one in known | near for word in rules.words[one]}
    others = pattern_source(
        word for other, told in rules.words.items() if other not in known | near for word in told if word not in allowed
    )
    driven = re.compile(rf"{others}\s+{pattern_source(rules.drives)}", re.IGNORECASE)
    for sentence in sentences:
        if (found := denied.search(sentence)) or (found := driven.search(sentence)):
            return f'"{found.group(0)}" where the label is "{label}"'
    return None


@cache
def _voice_pattern(quality: VoiceQuality) -> re.Pattern[str]:
    noun, says = pattern_source(check_rules().voice_nouns), pattern_source(quality.says)
    alone = pattern_source(quality.alone)
    return re.compile(f"{alone}|{says}{_BEFORE_NOUN}{noun}|{noun}{_AFTER_NOUN}{says}", re.IGNORECASE)


@cache
def _feeling_pattern(feelings: Words) -> re.Pattern[str]:
    rules = check_rules().feeling
    who, feels, states = (pattern_source(phrases) for phrases in (rules.who, rules.feels, rules.states))
    between = rf"(?:[\s,]+{pattern_source(rules.between)})*"
    by_person = rf"{who}{between}[\s]+{feels}"
    by_state = rf"(?:'s|\b(?:his|her|their|the))(?:[\s]+[\w-]+){{0,2}}[\s]+{states}[\s]+(?:is|as|was)"
    return re.compile(rf"(?:{by_person}|{by_state}){between}[\s]+{pattern_source(feelings)}", re.IGNORECASE)


def _known_labels(label: str) -> set[str]:
    """The label itself, or the known labels whose feeling an unknown one names ("joy": happy)."""
    known = check_rules().feeling.words
    if label in known:
        return {label}
    return {name for name in known if set(words(label)) & set(known[name])}


def _asserted(phrases: re.Pattern[str], sentence: str) -> str | None:
    """The first match in the sentence that no negation precedes."""
    return next(
        (" ".join(found.group(0).split()) for found in asserted(phrases, sentence, check_rules().negations)), None
    )
