"""Reads versioned YAML data files strictly: an error names the file, the line, the place and the value."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from merrflow.core.errors import why_unread

Place = tuple[str | int, ...]
_SHOWN = 80  # characters of a wrong value in a message
MOST_BYTES = 128 << 10  # the largest that comes with merrflow has 18 KB; PyYAML takes a second for 100
_MOST_VALUES = 100_000  # a few lines of aliases of aliases can mean gigabytes


class DataFileError(ValueError):
    """A data file cannot be used. The message names the file, the line and the value at fault."""


@dataclass(frozen=True)
class Fault:
    """What is wrong at a place: keys and list positions, from the model that is checked."""

    place: Place
    message: str


class Faults(ValueError):
    """Raised by a model's validator to name several places within it, each with its own line in the file."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.message for fault in self.faults))


class Strict(BaseModel):
    """Base of everything read from a data file: frozen, and a mistyped key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)


class Loader(yaml.SafeLoader):
    """YAML's plain values. Names the place of a date, number or text that cannot be."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As the base class. Raises `yaml.YAMLError` also for what could not be written down again."""
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()  # half a surrogate pair is not text
            elif isinstance(value, int):
                str(value)  # a number in hexadecimal may have more digits than Python writes
            return value
        except ValueError as error:
            problem = f"{_short(repr(node.value))}: {error}"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from error


def read(
    path: Path | Traversable, model: type[Model], check: Callable[[Model], Iterable[Fault]] | None = None
) -> Model:
    """The file's content as `model`; raises DataFileError with every fault found.

    `check`: what must hold beyond the model itself, such as that another file it names is there.
    """
    try:
        text = bounded_text(path)
    except (OSError, ValueError) as error:  # not UTF-8, too large, or a zero byte in the path
        raise DataFileError(f"{path}: cannot be read: {why_unread(error)}") from error
    try:
        loader = Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise DataFileError(f"{path}: the file must hold a mapping of keys to values")
        if _size(node, {}) > _MOST_VALUES:
            raise DataFileError(f"{path}: with its aliases (*name) written out it has over {_MOST_VALUES} values")
        data = loader.construct_document(node)
        twice = [f"{path}, line {line}: {describe(place, data)} occurs twice" for place, line in _repeated(node, ())]
        if twice:
            raise DataFileError("\n".join(twice))
        lines = dict(_lines(node, ()))
        # as JSON, lists are tuples and whole numbers floats, yet strictly: "7" never becomes 7
        plain = json.dumps(data, default=str)
    except yaml.YAMLError as error:
        raise DataFileError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise DataFileError(f"{path}: nested too deeply, or an alias (*name) that holds itself") from error
    except TypeError as error:
        raise DataFileError(f"{path}: a key that is not text: {error}") from error
    try:
        found = model.model_validate_json(plain)
    except ValidationError as error:
        raise DataFileError("\n".join(_messages(path, data, lines, error))) from error
    faults = list(check(found)) if check else []
    if faults:
        raise DataFileError("\n".join(_line(path, data, lines, fault.place, fault.message) for fault in faults))
    return found


def bounded_text(path: Path | Traversable) -> str:
    """A YAML file's text. Raises OSError, or ValueError if it is not UTF-8 or has more than `MOST_BYTES`."""
    with path.open("rb") as file:
        data: bytes = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES >> 10} KiB")
    return data.decode("utf-8").replace("\r\n", "\n")


def describe(place: Place, data: Any) -> str:
    """A place in the file in words: a list entry by its label, name or code if it has one."""
    words: list[str] = []
    for step in place:
        data = _into(data, step)
        if isinstance(step, int):
            keys = [key for key in ("label", "code", "name") if isinstance(data, dict) and key in data]
            words.append(f"'{_plain(data[keys[0]])}'" if keys else f"[{step}]")
        else:
            words.append(_plain(step))
    return " ".join(words) or "the file"


def _messages(path: object, data: Any, lines: dict[Place, int], error: ValidationError) -> Iterator[str]:
    found = error.errors()
    for fault in found:
        place = tuple(fault["loc"])
        if any(len(place) < len(other["loc"]) and other["loc"][: len(place)] == place for other in found):
            continue  # pydantic counts what is wrong within as missing: a list with a bad entry as too short
        cause = fault.get("ctx", {}).get("error")
        if isinstance(cause, Faults):
            for inner in cause.faults:
                yield _line(path, data, lines, place + inner.place, inner.message)
        elif fault["type"] == "extra_forbidden":
            yield _line(path, data, lines, place, "unknown key", value=None)
        else:
            message = fault["msg"].removeprefix("Value error, ")
            if fault["type"] == "missing":
                message = f"the key {place[-1]!r} is missing"
            yield _line(path, data, lines, place, message, value=fault.get("input"))


_AT_PLACE = object()


def _line(path: object, data: Any, lines: dict[Place, int], place: Place, message: str, value: Any = _AT_PLACE) -> str:
    while place and place not in lines:  # pydantic adds steps of its own, such as "[key]"
        place = place[:-1]
    if value is _AT_PLACE:
        value = data
        for step in place:
            value = _into(value, step)
    worth_showing = (
        isinstance(value, (str, int, float, bool)) and repr(value) not in message and str(value) not in message
    )
    shown = f" (value {_short(repr(value))})" if worth_showing else ""
    return f"{path}, line {lines.get(place, 1)}: {describe(place, data)}: {message}{shown}"


def _plain(name: Any) -> str:
    """A name from the file as a part of a message: short, control characters escaped."""
    text = str(name)
    return _short(text if text.isprintable() else repr(text)[1:-1])


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _into(data: Any, step: str | int) -> Any:
    try:
        return data[step]
    except (KeyError, IndexError, TypeError):
        return None


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many keys and values a node has, aliases written out; `known`: of nodes counted before, by id."""
    if id(node) not in known:
        inner = node.value if isinstance(node, yaml.CollectionNode) else []
        inner = [each for pair in inner for each in pair] if isinstance(node, yaml.MappingNode) else inner
        known[id(node)] = 1 + sum(_size(each, known) for each in inner)
    return known[id(node)]


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
    """Keys that occur twice, of which YAML would silently take the last."""
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
