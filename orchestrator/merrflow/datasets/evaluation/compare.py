"""A run against MERR's annotations, clip by clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from merrflow.core.errors import InputError
from merrflow.datasets.evaluation.labels import LabelMeasures, measure_labels, normal
from merrflow.datasets.evaluation.lists import (
    ListMeasures,
    PhraseMeasures,
    best_lexicon,
    measure_lists,
    measure_phrases,
    same_phrase,
)
from merrflow.datasets.evaluation.measures import Pair, Share
from merrflow.datasets.evaluation.peaks import PeakMeasures, measure_peaks
from merrflow.datasets.evaluation.runs import FinishedRun, RunClip, counts
from merrflow.datasets.evaluation.texts import TextMeasures, measure_sides
from merrflow.datasets.evaluation.units import UnitMeasures, measure_units, told_units
from merrflow.facs import RuleSet, load_lexicon, load_rules
from merrflow.formats.merr import MerrAnnotation

NAMES_SHOWN = 3
_MEASURED = ("label", "fine", "coarse")  # what has a peak has a label


@dataclass(frozen=True)
class Clips:
    """Which clips the two sides share. All that is measured is measured on `matched`."""

    matched: int  # with a record in the run and an annotation in the file
    run_only: int  # with a record, but not in the file
    file_only: int  # in the file, but not in the run at all
    no_record: Mapping[str, int]  # in the file and in the run, but without a record: outcome -> clips


@dataclass(frozen=True)
class Lists:
    """AU_list and phrases of both sides."""

    all: ListMeasures | None
    same_label: ListMeasures | None  # over the clips with the same label on both sides, not neutral
    same_phrase: Share  # of the units that both name
    lexicons: Mapping[str, str]  # side -> the lexicon that has the most of its phrases
    phrases: Mapping[str, PhraseMeasures]  # side -> its phrases against that lexicon


@dataclass(frozen=True)
class RunReport:
    """A run against a file; None if the file does not hold what is measured."""

    clips: Clips
    rules: Mapping[str, int]  # rule set -> matched clips
    engines: Mapping[str, int]  # who measured the Action Units -> matched clips
    label_sources: Mapping[str, int]  # "rules", "table", "model" -> matched clips
    peak: PeakMeasures | None
    units: UnitMeasures | None
    lists: Lists | None
    labels: LabelMeasures | None
    ruled_labels: LabelMeasures | None  # what the rules alone say; only if some labels come from elsewhere
    texts: Mapping[str, TextMeasures]  # "run fine", "file fine", "run coarse", "file coarse": matched clips
    texts_of_all: Mapping[str, TextMeasures]  # the same of all clips of each side


def compare(
    run: FinishedRun, file: Mapping[str, MerrAnnotation], rule_sets: Sequence[RuleSet], where: Path | str
) -> RunReport:
    """Measures the run against the file. `rule_sets` know the labels besides the run's own and the default's.

    Raises InputError if no clip is in both, if the file has a label that no one knows, or if it holds nothing
    that is measured.
    """
    if not any(getattr(one, key) for one in file.values() for key in _MEASURED):
        raise InputError(f"{where}: holds nothing to measure a run against: no labels, peaks or captions")
    names = sorted(run.clips.keys() & file.keys())
    if not names:
        raise InputError(_no_common(run, file, where))
    file = in_own_words(run, file, rule_sets, where)
    clips = [run.clips[name] for name in names]
    pairs: list[Pair] = [(file[name], run.clips[name].annotation) for name in names]
    everything = [run.clips[name].annotation for name in sorted(run.clips)]
    return RunReport(
        clips=Clips(
            matched=len(names),
            run_only=len(run.clips.keys() - file.keys()),
            file_only=len(file.keys() - run.clips.keys() - run.without_record.keys()),
            no_record=counts(outcome for name, outcome in run.without_record.items() if name in file),
        ),
        rules=counts(clip.rules for clip in clips),
        engines=counts(_engine(clip) for clip in clips),
        label_sources=counts(clip.source for clip in clips),
        peak=measure_peaks(pairs),
        units=measure_units(pairs, told_units(file.values()), run.measured),
        lists=_lists(pairs),
        labels=_labels(pairs, [clip.annotation.label or "" for clip in clips]),
        ruled_labels=(
            _labels(pairs, [clip.ruled for clip in clips]) if any(clip.source != "rules" for clip in clips) else None
        ),
        texts=_texts([ours for _, ours in pairs], [theirs for theirs, _ in pairs]),
        texts_of_all=_texts(everything, list(file.values())),
    )


def in_own_words(
    run: FinishedRun, file: Mapping[str, MerrAnnotation], rule_sets: Sequence[RuleSet], where: Path | str
) -> dict[str, MerrAnnotation]:
    """The file's annotations by name, their labels in the words of the run or of a rule set. Raises `InputError`."""
    own = {label for clip in run.clips.values() for label in (clip.annotation.label, clip.ruled) if label}
    return {
        name: replace(one, label=normal(one, [load_rules(), *rule_sets], own, where)) if one.label else one
        for name, one in sorted(file.items())
    }


def _engine(clip: RunClip) -> str:
    return " ".join(filter(None, (clip.origin.engine, clip.origin.model))) if clip.origin else "unknown"


def _labels(pairs: Sequence[Pair], given: Sequence[str]) -> LabelMeasures | None:
    known = [(file.label, label) for (file, _), label in zip(pairs, given, strict=True) if file.label]
    return measure_labels([a for a, _ in known], [b for _, b in known], load_rules().neutral.label)


def _lists(pairs: Sequence[Pair]) -> Lists | None:
    every = measure_lists(pairs)
    if every is None:
        return None
    neutral = load_rules().neutral.label
    alike = [(file, run) for file, run in pairs if file.label == run.label != neutral]
    sides = {"run": [run for _, run in pairs], "file": [file for file, _ in pairs]}
    lexicons = {side: best_lexicon(annotations) for side, annotations in sides.items()}
    return Lists(
        all=every,
        same_label=measure_lists(alike),
        same_phrase=same_phrase(pairs),
        lexicons=lexicons,
        phrases={side: measure_phrases(sides[side], load_lexicon(lexicons[side])) for side in sides},
    )


def _texts(run: Sequence[MerrAnnotation], file: Sequence[MerrAnnotation]) -> dict[str, TextMeasures]:
    found: dict[str, TextMeasures] = {}
    for grain in ("fine", "coarse"):
        sides = {"run": run, "file": file}
        texts = {f"{side} {grain}": {one.name: getattr(one, grain) or "" for one in sides[side]} for side in sides}
        found |= measure_sides(texts)
    return found


def _no_common(run: FinishedRun, file: Mapping[str, MerrAnnotation], where: Path | str) -> str:
    without = sorted(run.without_record.keys() & file.keys())
    if without:
        reasons = ", ".join(f"{count} {outcome}" for outcome, count in counts(run.without_record.values()).items())
        return f"none of the {len(without)} clips that the run shares with {where} has a record ({reasons})"
    return (
        f"no clip is both in the run and in {where}; names in the run: {_some(run.clips)}; "
        f"names in the file: {_some(file)}"
    )


def _some(names: Mapping[str, object]) -> str:
    shown = [repr(name) for name in sorted(names)[:NAMES_SHOWN]]
    more = len(names) - len(shown)
    return (", ".join(shown) + (f" and {more} more" if more > 0 else "")) or "none"
