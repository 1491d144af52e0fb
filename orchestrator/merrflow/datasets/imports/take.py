"""Answers from other tools become verdicts in the ledger, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from merrflow.core.errors import InputError, listed
from merrflow.core.fingerprint import fingerprint
from merrflow.datasets.entries import RECORDS
from merrflow.datasets.export.text import one_line
from merrflow.datasets.imports import argilla, labelstudio
from merrflow.datasets.imports.items import Answer, Fault, Item, NotAnAnswer, Skipped, Unasked, shown
from merrflow.datasets.review.desk import Desk, UnknownClip
from merrflow.datasets.review.index import item_id
from merrflow.datasets.review.verdicts import Kind, Name, Said, Source, Verdict, read_verdict
from merrflow.store import UNDO, ClipGone, Ledger
from merrflow_serving.errors import first_fault

TOOLS: Mapping[str, Callable[[Path], Iterator[Item]]] = {"labelstudio": labelstudio.read, "argilla": argilla.read}
_NAMES = TypeAdapter[str](Name)


@dataclass(frozen=True)
class Taken:
    """What came of a file. Lines of `skipped` and `refused` say where in it and why."""

    added: int
    known: int  # in the ledger already, or older than what the person said since
    unasked: int  # items that nobody has looked at
    skipped: tuple[str, ...]  # where somebody gave no answer
    refused: tuple[str, ...]


def take(ledger: Ledger, out: Path, tool: str, path: Path, reviewers: Sequence[str] = ()) -> Taken:
    """Reads the export of a tool and adds what is new in it.

    reviewers: "ID=NAME" for an annotator, "NAME" for every one whom the file has no name of. A later answer of the same
    person on the same clip counts in the place of the earlier; so does a change of it. Raises `InputError` if the tool
    or the file cannot be used, or an annotator has no name.
    """
    if tool not in TOOLS:
        raise InputError(f"{tool}: there is no such tool; known are {', '.join(TOOLS)}")
    names = _Names(reviewers)
    items = list(TOOLS[tool](path))
    answers = {number: one for number, one in enumerate(items) if isinstance(one, Answer)}
    names.check({one.annotator for one in answers.values() if not one.is_name}, path)
    desk, earlier = Desk(ledger, out), _earlier(ledger, tool)
    refused = {number: one.why for number, one in enumerate(items) if isinstance(one, Fault)}
    added = 0
    for number, one in sorted(answers.items(), key=lambda item: item[1].at):  # of one person's, the last one counts
        try:
            added += _say(desk, ledger, tool, one, names.of(one), earlier)
        except NotAnAnswer as error:
            refused[number] = str(error)
    return Taken(
        added=added,
        known=len(answers) - added - len(answers.keys() & refused.keys()),
        unasked=sum(isinstance(one, Unasked) for one in items),
        skipped=tuple(f"{path}, {one.place}: {one.why}" for one in items if isinstance(one, Skipped)),
        refused=tuple(
            f"{path}, {one.place}: {refused[number]}"
            for number, one in enumerate(items)
            if number in refused and isinstance(one, Answer | Fault)
        ),
    )


class _Names:
    """Who is meant by what the tool calls a person."""

    def __init__(self, given: Sequence[str]) -> None:
        self._by_id: dict[str, str] = {}
        self._everybody = ""
        for one in given:
            known, equals, name = one.rpartition("=")
            try:
                name = _NAMES.validate_python(name)
            except ValidationError as error:
                raise InputError(f"--reviewer {shown(one)}: {first_fault(error)}") from error
            if known in self._by_id or (self._everybody and not equals):
                raise InputError(f"--reviewer {shown(one)}: {known or 'a name for everybody'} is given twice")
            if equals:
                self._by_id[known] = name
            else:
                self._everybody = name

    def check(self, unnamed: set[str], path: Path) -> None:
        """Raises `InputError` if somebody has no name: a number means another person in another project."""
        missing = sorted(unnamed - self._by_id.keys()) if not self._everybody else []
        if missing:
            raise InputError(
                f"{path}: it does not say who annotator {listed(missing)} is; give the name of each, as --reviewer "
                f"{shown(missing[0])}=NAME"
            )

    def of(self, answer: Answer) -> str:
        """The reviewer. Raises `NotAnAnswer` if the file's name cannot be one."""
        name = self._by_id.get(answer.annotator) or ("" if answer.is_name else self._everybody) or answer.annotator
        try:
            return str(_NAMES.validate_python(name))
        except ValidationError as error:
            raise NotAnAnswer(f"reviewer {shown(name)}: {first_fault(error)}") from error


_Earlier = dict[tuple[str, str], list[Verdict]]  # clip, reviewer -> what was taken from the tool before, in order


def _earlier(ledger: Ledger, tool: str) -> _Earlier:
    """Also what was undone since: who took it back on the page does not want it again."""
    found: _Earlier = {}
    for row in ledger.verdicts():
        one = read_verdict(row) if row.kind != UNDO and not row.audit else None
        if one and one.said.source and one.said.source.tool == tool:
            found.setdefault((one.clip, one.reviewer), []).append(one)
    return found


def _say(desk: Desk, ledger: Ledger, tool: str, answer: Answer, reviewer: str, earlier: _Earlier) -> bool:
    """Whether it is new. Raises `NotAnAnswer` if it cannot be taken."""
    try:
        item = desk.item(item_id(answer.clip))
    except UnknownClip:
        raise NotAnAnswer(f"the run has no record of clip {shown(answer.clip)}") from None
    if item.sha256 != answer.sha256:
        raise NotAnAnswer(f"clip {shown(answer.clip)} has other bytes than when it was exported; export it again")
    before = _text_of(ledger, item.name) if answer.shown_text is None else answer.shown_text
    text = answer.text if one_line(answer.text) not in ("", one_line(before)) else None
    try:
        said = Said(label=answer.label, text=text, source=Source(tool=tool, at=answer.at))
    except ValidationError as error:
        raise NotAnAnswer(f"clip {shown(answer.clip)}: {first_fault(error)}") from error
    taken = earlier.setdefault((item.name, reviewer), [])
    of_bytes = [one for one in taken if one.sha256 == answer.sha256]
    if of_bytes and _is_known(of_bytes[-1].said, said):
        return False
    key = fingerprint("import", tool, item.name, answer.sha256, reviewer, said.model_dump(mode="json"), len(taken))
    try:
        spoken = desk.say(item.id, answer.sha256, reviewer, key, Kind.KEEP, said)
    except ValueError as error:
        raise NotAnAnswer(f"clip {shown(answer.clip)}: {error}") from error
    except ClipGone as error:
        raise NotAnAnswer(f"clip {shown(answer.clip)} is gone from the run") from error
    taken.append(Verdict(item.name, answer.sha256, reviewer, Kind.KEEP, said, "", spoken.id))
    return True


def _text_of(ledger: Ledger, clip: str) -> str:
    """The run's own text."""
    row = ledger.record(clip)
    reasoning = RECORDS.validate_json(row.payload).reasoning if row else None
    return reasoning.text if reasoning else ""


def _is_known(last: Said, said: Said) -> bool:
    """Whether `said` is no later than the last one that was taken, or says nothing else."""
    at, before = said.source.at if said.source else "", last.source.at if last.source else ""
    if at and before and at < before:
        return True
    return (last.label, last.text) == (said.label, said.text)
