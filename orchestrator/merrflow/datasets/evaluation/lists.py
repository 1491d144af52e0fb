"""AU_list and its phrases: whether both sides name the same units, and whether each phrase belongs to its unit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from merrflow.datasets.evaluation.measures import Pair, Share, mean, share
from merrflow.facs import Lexicon, load_lexicon, load_rules
from merrflow.formats.merr import MerrAnnotation

LEXICONS = ("merr", "default")
EXAMPLES = 5


@dataclass(frozen=True)
class ListMeasures:
    """AU_list of both sides. The file's erratum (AU14 written as AU15 under sad) is put right before."""

    same_set: Share
    same_order: Share  # the same units in the same order
    overlap: float | None  # mean Jaccard index of the two sets, 0 to 1


@dataclass(frozen=True)
class PhraseMeasures:
    """Phrases (visual_prior_list) of one side, held against a lexicon: those of their own unit, and the rest."""

    phrases: int
    in_lexicon: int  # as they are there
    misspelt: int  # but for one letter
    errata: int  # of the label's errata: AU14's phrases under "AU15" of sad
    unknown: int
    examples: tuple[str, ...]  # of the unknown, most frequent first

    @property
    def accounted(self) -> Share:
        """Those that the lexicon has, errata and slips of a letter among them."""
        return Share(self.phrases - self.unknown, self.phrases)


def measure_lists(pairs: Iterable[Pair]) -> ListMeasures | None:
    """Of the clips for which both sides have an AU_list; None if there are none."""
    known = [(file, run) for file, run in pairs if file.units is not None and run.units is not None]
    if not known:
        return None
    lists = [(corrected_units(file), corrected_units(run)) for file, run in known]
    return ListMeasures(
        same_set=share(set(a) == set(b) for a, b in lists),
        same_order=share(a == b for a, b in lists),
        overlap=mean(overlap(file, run) for file, run in known),
    )


def overlap(file: MerrAnnotation, run: MerrAnnotation) -> float:
    """Jaccard index of the two AU_lists as sets; 1 if both are empty."""
    a, b = set(corrected_units(file)), set(corrected_units(run))
    return len(a & b) / len(a | b) if a | b else 1.0


def same_phrase(pairs: Iterable[Pair]) -> Share:
    """How often both sides have the same phrase, whatever its case, for a unit that both name."""
    same = []
    for file, run in pairs:
        a, b = _phrase_by_unit(file), _phrase_by_unit(run)
        same += [a[unit].casefold() == b[unit].casefold() for unit in a.keys() & b.keys()]
    return share(same)


def measure_phrases(annotations: Iterable[MerrAnnotation], lexicon: Lexicon) -> PhraseMeasures:
    """Every phrase against the lexicon's phrases for its unit."""
    counts: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    for one in annotations:
        for unit, phrase in zip(one.units or (), one.phrases or (), strict=True):
            kind = _kind(phrase, unit, one.label or "", lexicon)
            counts[kind] += 1
            if kind == "unknown":
                unknown[f"{unit}: {phrase}"] += 1
    shown = sorted(unknown.items(), key=lambda item: (-item[1], item[0]))[:EXAMPLES]
    return PhraseMeasures(
        phrases=counts.total(),
        in_lexicon=counts["in_lexicon"],
        misspelt=counts["misspelt"],
        errata=counts["errata"],
        unknown=counts["unknown"],
        examples=tuple(text for text, _ in shown),
    )


def best_lexicon(annotations: Sequence[MerrAnnotation]) -> str:
    """The lexicon that comes with the package and has the most of these phrases."""
    return max(LEXICONS, key=lambda name: measure_phrases(annotations, load_lexicon(name)).accounted.hits)


def corrected_units(annotation: MerrAnnotation) -> tuple[str, ...]:
    """AU_list with the published errata put right: under sad, an "AU15" that is in truth AU14.

    peak_AU_list is right and decides: with AU14 alone, "AU15" is AU14; with both, "AU15" is
    there twice, and AU14 is the second, as in the order of the label's units.
    """
    units = annotation.units or ()
    for true, written in _published_as(annotation.label or "").items():
        units = _put_right(units, true, written, annotation.peak_units or ())
    return units


def _published_as(label: str) -> Mapping[str, str]:
    """Units that the published files write as another under this label."""
    rule = load_rules("merr").rule(label)
    return rule.published_as if rule else {}


def _put_right(units: tuple[str, ...], true: str, written: str, peak: tuple[str, ...]) -> tuple[str, ...]:
    if true not in peak or true in units:
        return units
    places = [index for index, unit in enumerate(units) if unit == written]
    if written in peak:
        places = places[1:]
    return tuple(true if index in places[:1] else unit for index, unit in enumerate(units))


def _phrase_by_unit(annotation: MerrAnnotation) -> Mapping[str, str]:
    return dict(zip(corrected_units(annotation), annotation.phrases or (), strict=False))


def _kind(phrase: str, unit: str, label: str, lexicon: Lexicon) -> str:
    from rapidfuzz.distance import Levenshtein

    phrases = lexicon.phrases.get(unit, ())
    if phrase in phrases:
        return "in_lexicon"
    written = _published_as(label)
    for true, strays in lexicon.errata.get(label, {}).items():
        if phrase in strays and unit in (true, written.get(true)):
            return "errata"
    if any(Levenshtein.distance(phrase, known, score_cutoff=1) <= 1 for known in phrases):
        return "misspelt"
    return "unknown"
