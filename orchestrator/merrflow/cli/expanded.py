"""Options that several commands share, written once: a dataclass whose fields are options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints


class Expanded:
    """A command as typer reads and calls it, with each parameter that is a dataclass replaced by its fields.

    Every field is `Annotated[TYPE, typer.Option(...)]` and has a default. The command itself gets the dataclass. To be
    used as a decorator.
    """

    def __init__(self, command: Callable[..., Any]) -> None:
        hints = get_type_hints(command, include_extras=True)
        self._command = command
        self._groups: Mapping[str, Any] = {
            name: kind for name, kind in hints.items() if inspect.isclass(kind) and is_dataclass(kind)
        }
        found = []
        for one in inspect.signature(command).parameters.values():
            if one.name in self._groups:
                found += _options(self._groups[one.name])
            else:
                found.append(one.replace(kind=one.KEYWORD_ONLY, annotation=hints[one.name]))
        self.__name__, self.__doc__ = command.__name__, command.__doc__
        self.__signature__ = inspect.Signature(found)
        self.__annotations__ = {one.name: one.annotation for one in found}

    def __call__(self, **given: Any) -> Any:
        own = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)})
            for name, kind in self._groups.items()
        }
        return self._command(**given, **own)


def _options(group: Any) -> list[inspect.Parameter]:
    kinds = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=kinds[field.name]
        )
        for field in fields(group)
    ]
