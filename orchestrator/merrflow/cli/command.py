"""What all commands share: an empty path is refused, which Python would take for the current folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import typer
from typer.core import TyperCommand

from merrflow.core.arguments import unusable

Function = TypeVar("Function", bound=Callable[..., Any])


class Command(TyperCommand):
    """A command whose parameters of the type `Path` are not empty."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As the base class. Raises `InputError` that names the option or argument."""
        given = list(args)
        rest = super().parse_args(ctx, args)
        written: dict[str, Any] = self.make_parser(ctx).parse_args(args=given)[0]
        hints = get_type_hints(self.callback)
        for parameter in self.params:
            hint, value = hints.get(parameter.name), written.get(parameter.name)
            if Path in (hint, *get_args(hint)) and "" in (value if isinstance(value, list | tuple) else [value]):
                name = parameter.opts[0]
                raise unusable(name if name.startswith("-") else parameter.metavar or name.upper(), "a path", "")
        return rest


class App(typer.Typer):
    """An app whose commands are of the class `Command`."""

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = Command, **more: Any
    ) -> Callable[[Function], Function]:
        """As the base class."""
        return super().command(name, cls=cls, **more)
