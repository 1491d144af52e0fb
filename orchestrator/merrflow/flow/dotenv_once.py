"""Prefect's settings from a `.env` of the working folder, at the cost of one look.

Prefect (3.8) makes 42 settings classes, several times, and each reads the file twice: 336 times in all, 1.4 s of every
start at the top of this repository, where that file is Compose's. What it sets for Prefect still counts; it is parsed
once and again only if it changes. Prefect has no setting for this, so it is done where it reads the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import dotenv
from pydantic_settings.sources.providers import dotenv as provider

Values = dict[str, str | None]


class _Once:
    """`dotenv.dotenv_values`, which remembers what it read of a file."""

    def __init__(self, read: Callable[..., Values]) -> None:
        self._read = read
        self._known: dict[object, tuple[object, Values]] = {}  # question -> state of the file, answer

    def __call__(self, dotenv_path: Any = None, *args: Any, **kwargs: Any) -> Values:
        try:
            stat = os.stat(dotenv_path)
        except (OSError, TypeError):
            return self._read(dotenv_path, *args, **kwargs)
        question = os.path.abspath(dotenv_path), args, tuple(kwargs.items())
        state = stat.st_ino, stat.st_size, stat.st_mtime_ns
        known = self._known.get(question)
        if known is None or known[0] != state:
            known = self._known[question] = state, self._read(dotenv_path, *args, **kwargs)
        return dict(known[1])


def read_dotenv_once() -> None:
    """From now on, in this process."""
    if not isinstance(dotenv.dotenv_values, _Once):
        once = _Once(dotenv.dotenv_values)
        for module in (dotenv, provider):  # pydantic-settings has a name of its own for it
            vars(module)["dotenv_values"] = once
