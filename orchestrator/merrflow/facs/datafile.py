"""Reads versioned YAML data files strictly: what is wrong is named by file, line, place and value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

Place = tuple[str | int, ...]


class DataFileError(ValueError):
    """A data file cannot be used. The message names the file, the line and the value at fault."""


class Strict(BaseModel):
    """Base of everything read from a data file: frozen, and a mistyped key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Model = TypeVar("Model", bound=BaseModel)


def read(path: Path | Traversable, model: type[Model]) -> Model:
    """The file's content as `model`; raises DataFileError with every fault found."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataFileError(f"{path}: cannot be read: {error}") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DataFileError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(node, yaml.MappingNode):
        raise DataFileError(f"{path}: the file must hold a mapping of keys to values")
    faults = [f"{path}, line {line}: {describe(place, data)} stands twice" for place, line in _repeated(node, ())]
    if faults:
        raise DataFileError("\n".join(faults))
    try:
        # as JSON, lists are tuples and whole numbers floats, yet strictly: "7" never becomes 7
        return model.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        lines = dict(_lines(node, ()))
        raise DataFileError("\n".join(_fault(path, data, lines, fault) for fault in error.errors())) from error


def describe(place: Place, data: Any) -> str:
    """A place in the file in words: list entries go by their label, name or code where they have one."""
    words: list[str] = []
    for step in place:
        data = _into(data, step)
        if isinstance(step, int):
            keys = [key for key in ("label", "code", "name") if isinstance(data, dict) and key in data]
            words.append(f"'{data[keys[0]]}'" if keys else f"[{step}]")
        else:
            words.append(str(step))
    return " ".join(words) or "the file"


def _fault(path: Any, data: Any, lines: dict[Place, int], fault: Any) -> str:
    place = tuple(fault["loc"])
    while place and place not in lines:  # pydantic adds steps of its own, such as "[key]"
        place = place[:-1]
    message = fault["msg"].removeprefix("Value error, ")
    value = fault.get("input")
    plain = isinstance(value, (str, int, float, bool)) and repr(value) not in message
    shown = f" (value {value!r})" if plain else ""
    if fault["type"] == "extra_forbidden":
        message = "unknown key"
        shown = ""
    return f"{path}, line {lines.get(place, 1)}: {describe(place, data)}: {message}{shown}"


def _into(data: Any, step: str | int) -> Any:
    try:
        return data[step]
    except (KeyError, IndexError, TypeError):
        return None


def _lines(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    yield place, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, key.value)
            yield from _lines(value, inner)
            yield inner, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lines(value, (*place, index))


def _repeated(node: yaml.Node, place: Place) -> Iterator[tuple[Place, int]]:
    """Keys that YAML would silently take the last of."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield (*place, key.value), key.start_mark.line + 1
            seen.add(key.value)
            yield from _repeated(value, (*place, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _repeated(value, (*place, index))
