"""How well the Action Units at the peak agree, unit by unit (presence)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from merrflow.datasets.evaluation.measures import Detection, Pair
from merrflow.facs.units import action_units, openface_units
from merrflow.formats.merr import MerrAnnotation


@dataclass(frozen=True)
class UnitRow:
    """One Action Unit over the clips of both sides."""

    unit: str
    measured: int  # clips whose engine can measure it
    told: bool  # whether the file's tool can detect it, so that its absence means something
    file: int  # clips with it at the file's peak, measured by the run or not
    run: int  # clips with it at the run's peak
    both: int
    detection: Detection  # over the clips whose engine can measure it

    @property
    def comparable(self) -> bool:
        """Whether both sides can have it."""
        return self.measured > 0 and self.told


@dataclass(frozen=True)
class UnitMeasures:
    """Action Units of the run's peaks against those of the file's (peak_AU_list)."""

    clips: int
    rows: tuple[UnitRow, ...]
    micro: Detection  # over all comparable decisions together
    macro: Detection  # mean over the comparable units
    micro_all: Detection  # the same with what cannot be compared counted as missed or claimed falsely
    unmeasurable: tuple[str, ...]  # in the file, but the run's engine cannot measure them
    untold: tuple[str, ...]  # at the run's peaks, but the file's tool cannot detect them
    engine_known: bool  # False: what the engine measures is not recorded, and every unit is taken as measured


def measure_units(
    pairs: Sequence[Pair], known: Collection[str], measured: dict[str, frozenset[str]]
) -> UnitMeasures | None:
    """Of the clips for which both sides have the peak's units; None if there are none.

    `known`: units that the file's tool can detect (`told_units`). `measured`: what the engine measures, by name; a clip
    that is not in it is taken to have been measured in full.
    """
    pairs = [(file, run) for file, run in pairs if file.peak_units is not None and run.peak_units is not None]
    if not pairs:
        return None
    seen = set(known) | {unit for _, run in pairs for unit in run.peak_units or ()}
    rows, total, everything = [], Counter[str](), Counter[str]()
    for unit in sorted(seen):
        able = [pair for pair in pairs if unit in measured.get(pair[1].name, (unit,))]
        counts, all_counts = _counts(unit, able), _counts(unit, pairs)
        row = UnitRow(
            unit=unit,
            measured=len(able),
            told=unit in known,
            file=all_counts["right"] + all_counts["missed"],
            run=all_counts["right"] + all_counts["false"],
            both=all_counts["right"],
            detection=Detection.of(counts["right"], counts["false"], counts["missed"]),
        )
        rows.append(row)
        everything += all_counts
        if row.comparable:
            total += counts
    return UnitMeasures(
        clips=len(pairs),
        rows=tuple(rows),
        micro=Detection.of(total["right"], total["false"], total["missed"]),
        macro=Detection.mean(row.detection for row in rows if row.comparable),
        micro_all=Detection.of(everything["right"], everything["false"], everything["missed"]),
        unmeasurable=tuple(row.unit for row in rows if not row.measured),
        untold=tuple(row.unit for row in rows if row.run and not row.told),
        engine_known=any(run.name in measured for _, run in pairs),
    )


def told_units(annotations: Iterable[MerrAnnotation]) -> frozenset[str]:
    """What a file's tool can detect: MERR's is OpenFace, whose blinks it leaves out; and all that the file has."""
    openface = (code for code in openface_units() if not action_units()[code].blink)
    return frozenset([*openface, *(unit for one in annotations for unit in one.peak_units or ())])


def _counts(unit: str, pairs: Iterable[Pair]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for file, run in pairs:
        there, claimed = unit in (file.peak_units or ()), unit in (run.peak_units or ())
        if there or claimed:
            counts["right" if there and claimed else "missed" if there else "false"] += 1
    return counts
