"""Measures of a record's fine-grained text that need no reference. What cannot be measured is None, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from merrflow.core.records import Record
from merrflow.core.spoken import Transcript
from merrflow.datasets.scoring.scores import Measure
from merrflow.datasets.scoring.texts import Corpus, error_rates, readability
from merrflow.facs import expressive
from merrflow.stages.claims.split import split
from merrflow.stages.claims.units import unit_mentions
from merrflow.stages.claims.words import QUOTED, of_voice
from merrflow.stages.grounding import CONTRADICTED, SUPPORTED, ground
from merrflow.stages.witnesses import scores as score_witness

SPEECH = "speech"  # the source of a subtitle that was recognised itself
VERSION = "2"  # raise it if the code changes a measure
ABOUT: Mapping[str, str] = {  # in order of showing
    "au_precision": "movements that the text names and that are at the peak, of those it names",
    "au_recall": "Action Units at the peak that the text names, of those a face shows by expression",
    "au_f1": "the harmonic mean of the two",
    "tone_text": "claims of the tone clue that measurement supports, of those it supports or contradicts",
    "tone_fine": "the same of what the fine-grained text says of the voice",
    "words_wer": "word error rate between subtitle and recognised speech",
    "words_cer": "the same in letters",
    "label_agreement": "witnesses and views that say the record's label, of those that say one",
    "distinctness": "runs of four words that no other text has",
    "same_text": "how many other records have the same text",
    "readability": "Flesch reading ease; 60 to 70 is plain English",
    "image_text": "similarity of picture and text",
    "sound_text": "similarity of sound and text",
}
_NO_ENGINE = "no model that compares {} with text is configured"


def measures(record: Record, text: str, corpus: Corpus, heard: Transcript | None) -> dict[str, Measure]:
    """Every measure of ABOUT, in its order. The text must have been added to the corpus. heard: what speech recognition
    found in the clip, if it was asked."""
    found = dict(units(record, text))
    found["tone_text"] = tone(record, record.tone.text if record.tone else "")
    found["tone_fine"] = tone(record, _of_voice(text))
    found |= words(record, heard)
    found["label_agreement"] = label_agreement(record)
    found |= corpus.measures(text)
    found["readability"] = readability(text)
    found["image_text"] = Measure(None, _NO_ENGINE.format("pictures"))
    found["sound_text"] = Measure(None, _NO_ENGINE.format("sound"))
    return found


def units(record: Record, text: str) -> Mapping[str, Measure]:
    """`au_precision`, `au_recall`, `au_f1` of the movements that a text names. A word that may mean several units, such
    as "smile", is right if one of them is at the peak."""
    there = {code for code in record.peak.action_units if expressive(code)}
    named = [one for one in unit_mentions(QUOTED.sub(" ", text)) if not one.denied]
    right = sum(bool(one.units & set(record.peak.action_units)) for one in named)
    covered = {code for code in there if any(code in one.units for one in named)}
    precision = Measure(right / len(named)) if named else Measure(None, "the text names no movement of the face")
    recall = Measure(len(covered) / len(there)) if there else Measure(None, "the peak has no expressive Action Unit")
    both = (precision.value, recall.value)
    if None in both:
        f1 = Measure(None, precision.reason or recall.reason)
    else:
        total = sum(value for value in both if value is not None)
        f1 = Measure(2 * (both[0] or 0.0) * (both[1] or 0.0) / total if total else 0.0)
    return {"au_precision": precision, "au_recall": recall, "au_f1": f1}


def tone(record: Record, text: str) -> Measure:
    """How many claims on the voice are supported by measurement, of those that it decides."""
    if record.tone is None:
        return Measure(None, record.missing.get("tone", "the record has no tone"))
    verdicts = [claim.verdict for claim in ground(replace(record.tone, text=text))]
    decided = verdicts.count(SUPPORTED) + verdicts.count(CONTRADICTED)
    if decided:
        return Measure(verdicts.count(SUPPORTED) / decided)
    return Measure(None, "no claim on the voice could be measured" if verdicts else "nothing is claimed of the voice")


def _of_voice(text: str) -> str:
    """What the text's claims say of the voice, without what they conclude."""
    return ". ".join(filter(None, map(of_voice, split(text))))


def words(record: Record, heard: Transcript | None) -> Mapping[str, Measure]:
    """Subtitle against recognised speech, if both are there."""
    said = record.subtitle.text
    if said and heard and heard.text and record.subtitle.source != SPEECH:
        return error_rates(said, heard.text, heard.language)
    why = "no speech was recognised beside the subtitle" if said else "there is no subtitle"
    return dict.fromkeys(("words_wer", "words_cer"), Measure(None, why))


def label_agreement(record: Record) -> Measure:
    """Of the witnesses and of the likeliest label of each view of the reasoning model; who abstains does not count."""
    label = record.label
    votes = label.standing.votes if label.standing else ()
    said = [one.vote == "for" for one in votes if one.vote in ("for", "against") and one.witness != score_witness.NAME]
    for shares in record.distribution.values():
        if shares:
            said.append(max(sorted(shares), key=lambda name: shares[name]) == label.label)
    if not said:
        return Measure(None, "no witness and no view of the reasoning model says a label")
    return Measure(sum(said) / len(said))
