"""The Action Units the project knows, from action_units.yaml."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import AfterValidator, model_validator

from merrflow.core.datafile import Strict, read


class ActionUnit(Strict):
    """One Action Unit: `code` such as "AU06"; see action_units.yaml for what the marks mean."""

    code: str
    name: str
    speech: bool = False
    blink: bool = False
    openface: bool = False

    @property
    def expressive(self) -> bool:
        """Whether it can show an emotion by itself."""
        return not (self.speech or self.blink)


class _File(Strict):
    version: str
    action_units: tuple[ActionUnit, ...]

    @model_validator(mode="after")
    def _distinct(self) -> _File:
        codes = [unit.code for unit in self.action_units]
        twice = sorted({code for code in codes if codes.count(code) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} occurs twice")
        return self


@cache
def action_units() -> dict[str, ActionUnit]:
    """All known Action Units by code, ascending."""
    content = read(files("merrflow.facs") / "action_units.yaml", _File)
    return {unit.code: unit for unit in sorted(content.action_units, key=lambda unit: unit.code)}


@cache
def openface_units() -> tuple[str, ...]:
    """The codes that OpenFace measures, ascending."""
    return tuple(code for code, unit in action_units().items() if unit.openface)


def expressive(code: str) -> bool:
    """False for units of speech and blinking; an unknown unit of some engine counts as expressive."""
    unit = action_units().get(code)
    return unit is None or unit.expressive


def _known(code: str) -> str:
    if code not in action_units():
        raise ValueError(f"unknown Action Unit {code!r}; known are {', '.join(action_units())}")
    return code


Code = Annotated[str, AfterValidator(_known)]
