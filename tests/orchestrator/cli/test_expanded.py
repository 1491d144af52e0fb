"""Options that commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from merrflow.cli.app import app
from merrflow.cli.expanded import Expanded
from merrflow.cli.review import Page


@dataclass(frozen=True)
class Place:
    host: Annotated[str, typer.Option(help="Where.")] = "here"
    port: Annotated[int, typer.Option(min=1)] = 7


def test_a_command_gets_its_options_as_one_value() -> None:
    got = []

    @Expanded
    def command(name: str, count: int = 1, *, place: Place) -> None:
        got.append((name, count, place))

    one = typer.Typer()
    one.command()(command)
    assert CliRunner().invoke(one, ["ann", "--port", "9"]).exit_code == 0
    assert got == [("ann", 1, Place("here", 9))]
    assert CliRunner().invoke(one, ["ann", "--port", "0"]).exit_code == 2
    assert "Where." in CliRunner().invoke(one, ["--help"]).output


@pytest.mark.parametrize("command", ["review", "audit"])
def test_review_and_audit_have_the_options_of_the_page(command: str) -> None:
    found = CliRunner().invoke(app, [command, "--help"]).output
    assert all(f"--{name.replace('_', '-')}" in found for name in Page.__dataclass_fields__)
