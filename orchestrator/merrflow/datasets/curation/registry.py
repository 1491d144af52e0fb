"""The filters there are: merrflow's own, and those of other distributions (entry points of `merrflow.filters`).

A new built-in filter takes its file and a line here; one from outside an entry point in its `pyproject.toml`:

    [project.entry-points."merrflow.filters"]
    too_short = "acme_filters:TooShort"
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from merrflow.core.plugins import FILTERS, Plugin, find_plugins
from merrflow.datasets.curation.base import Filter
from merrflow.datasets.curation.rules import FilterRules

GROUP = FILTERS
_HERE = "merrflow.datasets.curation"
BUILT_IN = {
    "review": f"{_HERE}.review:RejectedByPeople",
    "standing": f"{_HERE}.standing:ByStanding",
    "consensus": f"{_HERE}.consensus:Consensus",
    "distribution": f"{_HERE}.contradictions:AgainstDistribution",
    "modalities": f"{_HERE}.contradictions:ModalitiesApart",
    "support": f"{_HERE}.contradictions:Unsupported",
    "tone": f"{_HERE}.contradictions:ToneContradicted",
    "claims": f"{_HERE}.claims:ClaimsOfText",
    "quality": f"{_HERE}.quality:Quality",
    "exact": f"{_HERE}.exact:ExactDuplicates",
    "near": f"{_HERE}.near:NearDuplicates",
    "neutral": f"{_HERE}.neutral:NeutralSample",
    "overabundance": f"{_HERE}.overabundance:Overabundance",
}


@dataclass(frozen=True)
class Known:
    """A filter that can be asked for."""

    plugin: Plugin[Filter[Any]]
    type: type[Filter[Any]]


@cache
def known_filters() -> Mapping[str, Known]:
    """All filters by name. Raises `InputError` with one line for a plug-in that cannot be used."""
    return {name: Known(plugin, load_filter(plugin)) for name, plugin in filter_plugins().items()}


def filter_plugins() -> dict[str, Plugin[Filter[Any]]]:
    """The same, not imported yet. Raises `InputError` with one line if two have the same name."""
    return find_plugins(GROUP, "filter", BUILT_IN)


def load_filter(plugin: Plugin[Filter[Any]]) -> type[Filter[Any]]:
    """A filter's class. Raises `InputError` with one line if it cannot be used."""
    found = plugin.load(Filter)  # type: ignore[type-abstract]  # what `load` returns is a complete subclass
    with plugin.blamed():
        _check(plugin, found)
    return found


def _check(plugin: Plugin[Filter[Any]], found: type[Filter[Any]]) -> None:
    """Raises `InputError` for a filter that cannot be a part of curation.yaml and curation.json."""
    if not re.fullmatch("[a-z][a-z0-9_]*", found.name) or yaml.safe_load(found.name) != found.name:
        raise plugin.fault("has a name that is not made of small letters, digits and _, or that YAML takes for a value")
    if not (isinstance(found.rules_type, type) and issubclass(found.rules_type, FilterRules)):
        raise plugin.fault(f"has a rules_type that is not a subclass of {FilterRules.__module__}.FilterRules")
    if not isinstance(found.after, str | None):
        raise plugin.fault(f"runs after {found.after!r:.80}; the name of one filter is wanted, or None")
    if not isinstance(found.balances, bool):
        raise plugin.fault(f"says balances = {found.balances!r:.80}; True or False is wanted")
    required = [key for key, field in found.rules_type.model_fields.items() if field.is_required()]
    if required and not plugin.built_in:  # the defaults of the built-in ones are in curation.yaml
        raise plugin.fault(f"has settings without a default: {', '.join(required)}")
    if not plugin.built_in:
        _check_defaults(plugin, found.rules_type())


def _check_defaults(plugin: Plugin[Filter[Any]], rules: FilterRules) -> None:
    """Raises `InputError`, or whatever error the settings' own code makes, if they cannot be written and read back."""
    values = rules.model_dump(mode="json")
    json.dumps(values, allow_nan=False, ensure_ascii=False).encode()
    if yaml.safe_load(yaml.safe_dump(values)) != values:
        raise plugin.fault("has settings that YAML does not read back as they are")
    for place, label in rules.labels():
        if not (isinstance(place, tuple) and isinstance(label, str)):
            raise plugin.fault(f"names the label {label!r:.80} at {place!r:.80}; a text and a tuple are wanted")


def sequence(order: Sequence[str], known: Mapping[str, Known]) -> tuple[str, ...]:
    """The filters of `order`, in which every other known filter has its place.

    It follows the filter that it names as `after`. Without that it follows all but the balancing filters, or, if it
    balances labels itself, all. Raises `InputError` with one line if `after` names no filter that has a place.
    """
    last = [name for name in order if not known[name].type.balances][-1]
    others = {name: one.type for name, one in known.items() if name not in order}
    followers: defaultdict[str, list[str]] = defaultdict(list)
    for name, one in sorted(others.items(), key=lambda item: (item[1].after is None, item[0])):
        followers[one.after or (order[-1] if one.balances else last)].append(name)
    found = tuple(name for first in order for name in _with_followers(first, followers))
    alone = next((name for name in others if others[name].after == name), None)
    if alone is not None:
        raise known[alone].plugin.fault("runs after itself")
    stranded = sorted(others.keys() - set(found), key=lambda name: (others[name].after in known, name))
    if stranded:
        anchor = others[stranded[0]].after
        others_wait = f"which runs after it: {', '.join(stranded)} wait for each other"
        reason = others_wait if anchor in known else f"which is not a filter; the filters are: {', '.join(known)}"
        raise known[stranded[0]].plugin.fault(f"runs after {anchor!r}, {reason}")
    return found


def _with_followers(name: str, followers: Mapping[str, Collection[str]]) -> Iterator[str]:
    yield name
    for follower in followers.get(name, ()):
        yield from _with_followers(follower, followers)
