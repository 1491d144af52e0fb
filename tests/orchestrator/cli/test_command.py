"""Every command refuses an empty path, which would mean the current folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from merrflow.cli.app import app
from merrflow.core.errors import InputError


def paths(group: Any, before: tuple[str, ...] = ()) -> Iterator[Any]:
    """The words of each command, and one of its parameters that are paths."""
    for name, command in group.commands.items():
        words = (*before, name)
        if isinstance(command, TyperGroup):
            yield from paths(command, words)
            continue
        hints = get_type_hints(command.callback)
        for one in command.params:
            if Path in (hints[one.name], *get_args(hints[one.name])):
                yield pytest.param(command, one, id=" ".join((*words, one.name)))


@pytest.mark.parametrize(("command", "parameter"), list(paths(get_command(app))))
def test_an_empty_path(command, parameter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given: list[str] = []
    for other in command.params:
        value = "" if other is parameter else "x"
        if other.opts[0].startswith("-"):
            given += [f"{other.opts[0]}={value}"] if other is parameter or other.required else []
        elif other is parameter or other.required:
            given.append(value)
    with pytest.raises(InputError) as refused:
        command.make_context(command.name, given)
    name = parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.metavar or parameter.name.upper()
    assert str(refused.value) == f"{name}: a path is wanted, not ''"


def test_the_commands_that_are_used_most(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = {one.id for one in paths(get_command(app))}
    assert {"run inputs", "run out", "status out", "export to", "review out", "rules fit out"} <= found
    for words in (["run", "X", "--out", ""], ["run", "X", "", "--out", "o"], ["status", "--out", ""]):
        done = CliRunner().invoke(app, words)
        assert isinstance(done.exception, InputError) and "a path is wanted, not ''" in str(done.exception)
    assert not list(tmp_path.iterdir())
