"""The records as the page lists them: a line each in memory, so that 28,000 are sorted and filtered within a moment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from merrflow.core.labels import Verdict as Bearing
from merrflow.datasets.agreements import decisive
from merrflow.datasets.curation.config import packaged
from merrflow.datasets.curation.consensus import Consensus, ConsensusRules, disagreement
from merrflow.datasets.entries import parsed
from merrflow.store import Ledger

_RANK = {Bearing.CONTRADICTED.value: 2, Bearing.UNDETERMINED.value: 1}  # doubt first


@dataclass(frozen=True)
class _Vote:
    vote: str
    label: str
    weight: float


@dataclass(frozen=True)
class _Standing:
    verdict: str
    votes: tuple[_Vote, ...]


@dataclass(frozen=True)
class _Label:
    label: str
    source: str
    standing: _Standing | None = None


@dataclass(frozen=True)
class _Probe:
    seconds: float
    frame_count: int


@dataclass(frozen=True)
class _Testimony:
    witness: str
    agreement: Mapping[str, float]


@dataclass(frozen=True)
class _Line:
    """The part of a record that is listed; the rest is not even parsed into objects."""

    name: str
    sha256: str
    label: _Label
    probe: _Probe
    distribution: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    witnesses: Mapping[str, tuple[_Testimony, ...]] = field(default_factory=dict)


_LINES = TypeAdapter(_Line)


@dataclass(frozen=True, slots=True)
class Item:
    """One record in the list."""

    id: str  # 16 hex digits that stay the same while the clip keeps its name
    name: str
    sha256: str
    label: str
    source: str
    outcome: str
    standing: str  # "" in records of versions that had none
    doubt: float  # higher is more doubtful
    disagree: bool  # a witness speaks against the label or finds another, or a second engine does not agree
    seconds: float
    frames: int


def item_id(name: str) -> str:
    """What requests call a clip: they never hold a path or a name."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:16]


def read_items(ledger: Ledger) -> dict[str, Item]:
    """All records by id, in order of name. Blocking: half a second for 1,000."""
    return {item.id: item for item in _items(ledger)}


def by_doubt(items: Sequence[Item]) -> list[Item]:
    """The most doubtful first, then by name."""
    return sorted(items, key=lambda item: (-item.doubt, item.name))


def shuffled(items: Sequence[Item], seed: str = "") -> list[Item]:
    """In an order that gives nothing away, the same each time. seed: of whom it is for."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}/{item.id}".encode()).digest())


def _items(ledger: Ledger) -> Iterator[Item]:
    rules = packaged().rules(Consensus.name)
    at_least = rules.at_least if isinstance(rules, ConsensusRules) else {}
    for name, row, line in parsed(ledger, _LINES):
        values = {(clue, one.witness): decisive(one.agreement) for clue, said in line.witnesses.items() for one in said}
        votes = line.label.standing.votes if line.label.standing else ()
        verdict = line.label.standing.verdict if line.label.standing else ""
        # Within a verdict, the balance of the votes decides, and then how likely the model finds the label.
        balance = sum(vote.weight * {"against": 1, "for": -1}.get(vote.vote, 0) for vote in votes)
        own = line.distribution.get("all", {}).get(line.label.label, 0.5)
        yield Item(
            id=item_id(name),
            name=name,
            sha256=line.sha256,
            label=line.label.label,
            source=line.label.source,
            outcome=str(row.outcome),
            standing=verdict,
            doubt=100 * _RANK.get(verdict, 0) + balance + (1 - own) / 10,
            disagree=any(vote.vote == "against" or vote.label not in ("", line.label.label) for vote in votes)
            or disagreement(values, at_least) is not None,
            seconds=line.probe.seconds,
            frames=line.probe.frame_count,
        )
