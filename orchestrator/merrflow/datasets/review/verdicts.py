"""What people said of a clip, and what follows from it if they do not agree."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from merrflow.store import Ledger, VerdictRow, live

CLUES = ("face", "scene", "tone", "subtitle", "text")  # that an audit asks about, beside the label
REJECTED = "(rejected)"  # in place of a label, for agreement
Value = TypeVar("Value")
log = logging.getLogger(__name__)


class Kind(StrEnum):
    """What a verdict does with a clip."""

    KEEP = "keep"  # with the label that it says, which may be the record's own
    REJECT = "reject"  # the clip is not to be in the dataset


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a name has printable characters alone")
    return text


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=60), AfterValidator(_printable)]
_Text = Annotated[str, StringConstraints(max_length=10_000, strip_whitespace=True)]


class Source(BaseModel):
    """Where a verdict was given, if not on the page of `merrflow review`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: Annotated[str, StringConstraints(max_length=40)]
    at: Annotated[str, StringConstraints(max_length=40)] = ""  # when, in UTC; "" if the tool does not say


class Said(BaseModel):
    """A verdict in full. None: as the record has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: Annotated[str, StringConstraints(max_length=60, strip_whitespace=True)] = ""  # "" only if rejected
    peak: int | None = Field(default=None, ge=0)  # frame number from 0
    subtitle: _Text | None = None
    text: _Text | None = None  # the fine-grained text
    note: _Text = ""
    clues: Mapping[Literal["face", "scene", "tone", "subtitle", "text"], Literal["right", "wrong", "unclear"]] = {}
    blind: bool = False  # the label was not shown before
    source: Source | None = None


@dataclass(frozen=True)
class Verdict:
    """What one reviewer's last word on a clip is."""

    clip: str
    sha256: str
    reviewer: str
    kind: Kind
    said: Said
    audit: str
    id: int

    @property
    def who(self) -> str:
        """The reviewer, and the tool if it was another."""
        return f"{self.reviewer} (in {self.said.source.tool})" if self.said.source else self.reviewer

    @property
    def category(self) -> str:
        """What agreement is measured by: the label, or that the clip was rejected."""
        return REJECTED if self.kind is Kind.REJECT else self.said.label


@dataclass(frozen=True)
class Decision:
    """What all reviewers of a clip come to together."""

    sha256: str  # of the bytes that they looked at
    reviewers: tuple[str, ...]  # in the order in which they said so, with the tool if it was another
    rejected: bool
    label: str
    peak: int | None  # None, here and below: as the record has it
    subtitle: str | None
    text: str | None
    note: str  # of the last one who left one


def read_verdict(row: VerdictRow) -> Verdict | None:
    """The row as a verdict; None for one that cannot be read, such as of a newer version."""
    try:
        return Verdict(
            row.clip, row.sha256, row.reviewer, Kind(row.kind), Said.model_validate_json(row.said), row.audit, row.id
        )
    except (ValueError, ValidationError) as error:
        log.warning("verdict %d on clip %s cannot be read and is left out (%s)", row.id, row.clip, type(error).__name__)
        return None


def standing(rows: Sequence[VerdictRow], audit: str = "") -> list[Verdict]:
    """Each reviewer's last word on each clip, in order. audit: of this one; "": of the review."""
    found = (read_verdict(row) for row in live([row for row in rows if row.audit == audit]))
    return [one for one in found if one is not None]


def by_clip(verdicts: Iterable[Verdict]) -> dict[str, list[Verdict]]:
    """The same by the clip's name."""
    found: defaultdict[str, list[Verdict]] = defaultdict(list)
    for one in verdicts:
        found[one.clip].append(one)
    return dict(found)


def decide(verdicts: Sequence[Verdict]) -> Decision:
    """What most of them say, each thing by itself; if as many say one thing as another, what was said last.

    verdicts: of one clip, at least one, in order. Those on other bytes than the last are left out.
    """
    last = verdicts[-1].sha256
    verdicts = [one for one in verdicts if one.sha256 == last]
    rejected = _most([one.kind is Kind.REJECT for one in verdicts])
    said = [one.said for one in verdicts if (one.kind is Kind.REJECT) == rejected]
    return Decision(
        sha256=last,
        reviewers=tuple(one.who for one in verdicts),
        rejected=rejected,
        label=_most([one.label for one in said]),
        peak=_most([one.peak for one in said]),
        subtitle=_most([one.subtitle for one in said]),
        text=_most([one.text for one in said]),
        note=next((one.said.note for one in reversed(verdicts) if one.said.note), ""),
    )


def decisions(ledger: Ledger) -> dict[str, Decision]:
    """What people decided, by the clip's name. Audits measure and decide nothing."""
    return {clip: decide(verdicts) for clip, verdicts in by_clip(standing(ledger.verdicts())).items()}


def _most(values: Sequence[Value]) -> Value:
    counts = Counter(values)
    return max(reversed(values), key=lambda value: counts[value])
