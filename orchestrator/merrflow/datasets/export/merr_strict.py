"""MERR as published, errata included: for comparison with it, not for training.

AU_list is the `merr` rule set's: the units of the label's set that are at the peak, in the set's order; under `sad`
AU14 is written "AU15", with the phrases published there (rules.published_as, lexicon.errata). Source: the
published annotations of MERR (Cheng et al. 2024, Emotion-LLaMA, NeurIPS).
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from merrflow.core.records import Record
from merrflow.datasets.export.format import Format, FormatOptions, Target
from merrflow.datasets.export.merr import MerrExport
from merrflow.facs import load_rules
from merrflow.facs.evidence import judge
from merrflow.facs.lexicon import Lexicon, load_lexicon
from merrflow.facs.units import action_units
from merrflow.stages.coarse import compose

# How the lists of neutral records were made is not known. In half of the published ones, the first of these at the peak
# is the list in 58 % (of 682); the units of the label that the rules would give, in 29 %.
NEUTRAL = ("AU04", "AU14", "AU05", "AU10", "AU07")


class MerrStrict(Format[FormatOptions]):
    """The format `merr-strict`."""

    name = "merr-strict"
    about = "the same as published, errata included"

    def writer(self, target: Target) -> MerrExport:
        return MerrExport(target.folder, published)


def published(record: Record) -> Record:
    """The record with AU_list, phrases and coarse text as MERR would have them. Its label is one of MERR's."""
    label = record.label.label
    units = published_units(label, record.peak.action_units)
    expressions = _lexicon(label).draw_all(record.name, units)
    rule = load_rules("merr").rule(label)
    written = rule.published_as if rule else {}
    return replace(
        record,
        label=replace(
            record.label,
            action_units=tuple(written.get(u, u) for u in units),
            expressions=expressions,
            standing=None,  # which no published file has
        ),
        coarse=compose(
            scene=record.scene.text if record.scene else None,
            expressions=expressions,
            tone=record.tone.text if record.tone else None,
            subtitle=record.english,
            voiced=record.tone is None or record.tone.content == "speech",
        ),
    )


def published_units(label: str, present: tuple[str, ...]) -> tuple[str, ...]:
    """The units that support `label`, of those at the peak, before any is misnamed.

    A neutral clip has the first of NEUTRAL that it can, or else what the rules would call expressive.
    """
    rules = load_rules("merr")
    rule = rules.rule(label)
    if rule:
        units = tuple(code for code in rule.action_units if code in present)
    else:
        units = tuple(code for code in NEUTRAL if code in present)[:1]
        units = units or judge(rules, present, {}, tuple(action_units()))[0].units
    return tuple(code for code in units if code in _lexicon(label).phrases)


@cache
def _lexicon(label: str) -> Lexicon:
    """MERR's lexicon with the phrases that stood at the wrong unit under this label."""
    lexicon = load_lexicon("merr")
    return lexicon.model_copy(update={"phrases": lexicon.phrases | lexicon.errata.get(label, {})})
