"""What curation is asked to do: `curation.yaml`, or a user's own file, read strictly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, Field, create_model, model_validator

from merrflow.core.datafile import DataFileError, Fault, Faults, Strict, read
from merrflow.core.errors import InputError, listed
from merrflow.datasets.curation.base import Filter
from merrflow.datasets.curation.neutral import NeutralRules, NeutralSample
from merrflow.datasets.curation.registry import Known, known_filters, sequence
from merrflow.datasets.curation.rules import FilterRules, Merit, Shared, Valence

PACKAGED = files("merrflow.datasets.curation") / "curation.yaml"


class CurationConfig(Strict):
    """What every configuration holds. `config_type` adds a section for each filter, under its name.

    A user's file may leave out any of it, which is then as in the packaged file.
    """

    model_config = ConfigDict(extra="allow")  # refused below, with the names of the filters

    version: str = Field(default_factory=lambda: _packaged("version"))
    seed: int = Field(default_factory=lambda: _packaged("seed"))
    order: tuple[str, ...] = Field(default_factory=lambda: _packaged("order"))
    valence: dict[str, Valence] = Field(default_factory=lambda: _packaged("valence"))
    best: tuple[Merit, ...] = Field(default_factory=lambda: _packaged("best"))

    def rules(self, name: str) -> FilterRules:
        """A filter's own settings."""
        section = getattr(self, name) if name in type(self).model_fields else FilterRules()
        assert isinstance(section, FilterRules)
        return section

    @property
    def shared(self) -> Shared:
        """What all filters share."""
        neutral = self.rules(NeutralSample.name)
        assert isinstance(neutral, NeutralRules)
        return Shared(self.seed, self.valence, self.best, neutral.label)

    def filters(self) -> tuple[Filter[Any], ...]:
        """The filters of `order`, ready to judge."""
        known = known_filters()
        found = []
        for name in self.order:
            with known[name].plugin.blamed():
                found.append(known[name].type(self.rules(name), self.shared))
        return tuple(found)

    @model_validator(mode="after")
    def _sound(self) -> CurationConfig:
        """Sections and `order` are of filters that there are, labels are of the set in `valence`, and no list names a
        thing twice; each fault at its own line."""
        faults = [*self._unknown(), *self._unknown_labels()]
        for name, values in (("order", self.order), ("best", self.best)):
            faults += [
                Fault((name, index), f"{value!r} occurs twice")
                for index, value in enumerate(values)
                if value in values[:index]
            ]
        if faults:
            raise Faults(faults)
        return self

    def _unknown(self) -> Iterator[Fault]:
        known = ", ".join(known_filters())
        for key in self.model_extra or ():
            yield Fault(
                (key,), f"unknown key; no filter has this name and settings of its own; the filters are: {known}"
            )
        for index, name in enumerate(self.order):
            if name not in known_filters():
                yield Fault(("order", index), f"'{listed([name])}' is not a filter; the filters are: {known}")

    def _unknown_labels(self) -> Iterator[Fault]:
        known = ", ".join(self.valence)
        for section in known_filters():
            for place, label in self.rules(section).labels():
                if label not in self.valence:
                    yield Fault((section, *place), f"label {label!r} is not in the set of `valence`: {known}")


@cache
def config_type() -> type[CurationConfig]:
    """The configuration with a section for each filter that has settings. Raises `InputError` for a bad plug-in."""
    sections: dict[str, Any] = {}
    for name, known in known_filters().items():
        if hasattr(CurationConfig, name) or name in CurationConfig.model_fields or name.startswith("model_"):
            raise known.plugin.fault(f"has the name of another part of curation.yaml: {name}")
        if known.type.rules_type.model_fields:
            sections[name] = (known.type.rules_type, Field(default_factory=_default_rules(name, known)))
    return create_model("CurationConfig", __base__=CurationConfig, **sections)


def _default_rules(name: str, known: Known) -> Any:
    """Made of the model's own defaults; if it has none, the packaged file's section."""
    if any(field.is_required() for field in known.type.rules_type.model_fields.values()):
        return lambda: packaged().rules(name)
    return known.type.rules_type


def load_config(path: Path | None = None) -> CurationConfig:
    """The packaged file, or the user's. Raises `InputError` that names file, line and value."""
    if path is None:
        return packaged()
    try:
        return read(path, config_type())
    except DataFileError as error:
        raise InputError(str(error)) from error


@cache
def packaged() -> CurationConfig:
    """`curation.yaml`, with the filters of other distributions in their places."""
    found = read(PACKAGED, config_type())
    return found.model_copy(update={"order": sequence(found.order, known_filters())})


def config_text() -> str:
    """`curation.yaml` as a file to start from, with the filters that other distributions add."""
    text = PACKAGED.read_text(encoding="utf-8")
    added = [known for name, known in known_filters().items() if not known.plugin.built_in]
    if added:
        text = re.sub(r"(?m)^order: .*$", lambda _: f"order: [{', '.join(packaged().order)}]", text)
    return text + "".join(f"\n{_section(known)}" for known in added)


def _section(known: Known) -> str:
    """A filter's settings as text, under what it does and its source."""
    rules = packaged().rules(known.type.name).model_dump(mode="json")
    settings = yaml.safe_dump({known.type.name: rules}, sort_keys=False) if rules else "# It has no settings.\n"
    about = f"# The filter {known.type.name} of {known.plugin.source}. It drops clips for this: {known.type.about}.\n"
    return about + settings


def _packaged(key: str) -> Any:
    return getattr(packaged(), key)
