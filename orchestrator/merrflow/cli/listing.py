"""Help that ends with a table of names, such as export formats. It is made when needed, because plug-ins add to it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from rich.markup import escape
from rich.table import Table

from merrflow.cli.command import Command
from merrflow.cli.terminal import output_console


class ListingCommand(Command):
    """A command whose help ends with the rows of `listing`."""

    columns: tuple[str, str]  # headings

    @abstractmethod
    def listing(self) -> Iterable[tuple[str, str]]:
        """Name and description of each."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        super().format_help(ctx, formatter)
        table = Table(*self.columns, box=None, padding=(0, 2))
        for name, about in self.listing():
            table.add_row(escape(name), escape(about))
        output_console().print(table)
