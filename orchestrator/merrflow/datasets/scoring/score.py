"""Scores the texts of a finished run that are not scored yet, or were changed since. The ledger keeps the scores."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from pydantic import TypeAdapter, ValidationError

from merrflow.core.fingerprint import fingerprint
from merrflow.core.records import Record
from merrflow.core.spoken import Transcript
from merrflow.datasets.entries import Entry, entries
from merrflow.datasets.scoring.measures import VERSION, measures
from merrflow.datasets.scoring.scores import JUDGED, MEASURED, MEASURES, digest, evidence_of
from merrflow.datasets.scoring.texts import Corpus
from merrflow.stages.claims.judge import Finding, Judge, Judgement
from merrflow.stages.claims.split import split
from merrflow.store import Ledger, ScoreRow

_AT_ONCE = 16  # records that are judged and then written together
_FEW = 20  # claims from which a judge that always says the same is worth a word
_TRANSCRIPT = TypeAdapter(Transcript)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Texts:
    """The texts of a run, before anything is scored."""

    names: frozenset[str]  # of the records that have a fine-grained text and are to be scored
    without: int  # records to be scored that have none
    corpus: Corpus


@dataclass
class _Heard:
    """What a judge said in this run."""

    claims: Counter[Finding] = field(default_factory=Counter)
    unusable: Counter[str] = field(default_factory=Counter)


def read_texts(ledger: Ledger, only: Collection[str] | None = None) -> Texts:
    """Reads every text once. only: the clips to be scored (None: all); the others are there to be compared with."""
    corpus, names, without = Corpus(), set(), 0
    for entry in entries(ledger):
        name, wanted = entry.record.name, only is None or entry.record.name in only
        if entry.fine_text is None:
            without += wanted
            continue
        corpus.add(entry.fine_text)
        if wanted:
            names.add(name)
    return Texts(frozenset(names), without, corpus)


async def score(ledger: Ledger, texts: Texts, judges: Sequence[Judge], done: Callable[[int], None]) -> tuple[str, ...]:
    """Judges and measures what is not scored yet. Returns remarks on the judges.

    done: called with the number of records that are finished. What is finished when an error ends it stays; the next
    call goes on from there. Raises `MerrflowError` if a judge cannot answer.
    """
    known = await asyncio.to_thread(ledger.scored)
    heard = {judge.name: _Heard() for judge in judges}
    todo = entries(ledger, texts.names)
    while some := await asyncio.to_thread(list, islice(todo, _AT_ONCE)):
        work = [asyncio.create_task(_judged(ledger, entry, texts, judges, known)) for entry in some]
        try:
            await asyncio.wait(work, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in work:
                task.cancel()
            found = await asyncio.gather(*work, return_exceptions=True)
            rows = [row for one in found if not isinstance(one, BaseException) for row in one]
            await asyncio.to_thread(ledger.put_scores, rows)
        if errors := [one for one in found if isinstance(one, BaseException)]:
            raise next((one for one in errors if not isinstance(one, asyncio.CancelledError)), errors[0])
        for row in rows:
            if row.judge != MEASURES:
                _listen(heard[row.judge], JUDGED.validate_json(row.found))
        done(len(some))
    return tuple(remark for name, one in heard.items() for remark in _remarks(name, one))


async def _judged(
    ledger: Ledger, entry: Entry, texts: Texts, judges: Sequence[Judge], known: dict[tuple[str, str], tuple[str, str]]
) -> list[ScoreRow]:
    """The rows of one record that are not in the ledger yet."""
    record, text = entry.record, entry.fine_text
    if text is None:  # it was taken back since the texts were read
        return []
    current = digest(record, text)
    rows, claims, evidence = [], split(text), evidence_of(record)
    for judge in judges:
        if known.get((record.name, judge.name)) != (current, judge.version):
            found = await judge.judge(record.name, claims, evidence)
            rows.append(_row(record, judge, current, found))
    measured = await asyncio.to_thread(_measured, ledger, record, text, texts.corpus, known, current)
    return rows + measured


def _row(record: Record, judge: Judge, current: str, found: Sequence[Judgement]) -> ScoreRow:
    return ScoreRow(record.name, judge.name, current, judge.version, JUDGED.dump_json(tuple(found)).decode())


def _measured(
    ledger: Ledger,
    record: Record,
    text: str,
    corpus: Corpus,
    known: dict[tuple[str, str], tuple[str, str]],
    current: str,
) -> list[ScoreRow]:
    heard = record.transcript or _transcript(ledger, record)
    version = fingerprint(VERSION, corpus.digest, heard.text if heard else "")
    if known.get((record.name, MEASURES)) == (current, version):
        return []
    found = measures(record, text, corpus, heard)
    return [ScoreRow(record.name, MEASURES, current, version, MEASURED.dump_json(found).decode())]


def _transcript(ledger: Ledger, record: Record) -> Transcript | None:
    """What an earlier run recognised, when the clip had no subtitle yet."""
    if record.subtitle.text is None or (payload := ledger.newest(record.name, "transcript")) is None:
        return None
    try:
        return _TRANSCRIPT.validate_json(payload)
    except ValidationError:
        return None


def _listen(heard: _Heard, found: Sequence[Judgement]) -> None:
    for one in found:
        heard.claims[one.finding] += 1
        if "cannot be used" in one.reason:
            heard.unusable[one.reason] += 1


def _remarks(name: str, heard: _Heard) -> Iterator[str]:
    total = heard.claims.total()
    if unusable := heard.unusable.total():
        example = heard.unusable.most_common(1)[0][0]
        yield f"judge {name}: {unusable} of {total} answers could not be used and count as not told ({example})"
    if total >= _FEW and len(heard.claims) == 1:
        (finding,) = heard.claims
        yield f"judge {name}: finds all {total} claims {finding}: it does not tell right claims from wrong ones"
