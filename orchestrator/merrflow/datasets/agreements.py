"""How far second engines (witnesses) agree with the main ones: of one record in words, and summed up over many."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from merrflow.core.records import Record, Testimony


@dataclass(frozen=True)
class Agreed:
    """One witness on one clue, by one measure."""

    clue: str  # the stage: "tone"
    witness: str
    engine: str
    model: str
    measure: str  # "" if nothing was measured
    mean: float | None  # over the records for which it was measured
    measured: int  # records
    answered: int  # records to which the witness said something


class Agreements:
    """Sums up records as they pass."""

    def __init__(self) -> None:
        self._answered: Counter[tuple[str, str, str, str]] = Counter()
        self._values: defaultdict[tuple[str, str, str, str], dict[str, tuple[float, int]]] = defaultdict(dict)

    def add(self, record: Record) -> None:
        """Takes one record into the figures."""
        for clue, said in record.witnesses.items():
            for one in said:
                if one.engine:
                    key = (clue, one.witness, one.engine, one.model)
                    self._answered[key] += bool(one.answer)
                    for measure, value in one.agreement.items():
                        total, count = self._values[key].get(measure, (0.0, 0))
                        self._values[key][measure] = (total + value, count + 1)

    def rows(self) -> tuple[Agreed, ...]:
        """By clue and witness, the measure that decides first."""
        found = []
        for key, answered in sorted(self._answered.items()):
            measures = self._values.get(key) or {"": (0.0, 0)}
            for measure, (total, count) in measures.items():
                found.append(Agreed(*key, measure, total / count if count else None, count, answered))
        return tuple(found)


def deciding(record: Record) -> Iterator[tuple[str, Testimony, float | None]]:
    """Clue, what a witness said of it, and how far it agrees by the measure that decides; None if nothing was
    measured."""
    for clue, said in record.witnesses.items():
        for one in said:
            yield clue, one, decisive(one.agreement)


def decisive(agreement: Mapping[str, float]) -> float | None:
    """The value of the measure that decides; None if nothing was measured."""
    return next(iter(agreement.values()), None)


def in_words(record: Record) -> Iterator[tuple[str, str, str]]:
    """Of each answer: the clue and who gave it, what it says, and how far it agrees or why that is not known."""
    for clue, one, _ in deciding(record):
        who = f"{clue.replace('_', ' ')}, {one.witness}" + (f": {one.engine} · {one.model}" if one.engine else "")
        measures = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in one.agreement.items())
        yield who, _said(one), measures or f"not measured: {one.unmeasured}"


def _said(one: Testimony) -> str:
    answer = one.answer
    if not answer:
        return f"No answer: {one.reason}"
    if "probability" in answer:
        shares = sorted(answer["probability"].items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{label} {share:.0%}" for label, share in shares[:3])
    if "peak" in answer:
        peak = answer["peak"]
        return f"at the peak: {', '.join(peak['present']) or 'no unit'}" if peak else "sees no face at the peak"
    return str(answer.get("text", ""))
