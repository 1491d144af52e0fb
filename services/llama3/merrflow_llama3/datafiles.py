"""Reads the package's YAML files: prompts, lexicon, phrases, check rules."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

PACKAGE = "merrflow_llama3"


@cache
def read_text(folder: str, name: str) -> str:
    """The text of `<folder>/<name>` in this package."""
    return (files(PACKAGE) / folder / name).read_text(encoding="utf-8")


@cache
def read_data(name: str) -> Any:
    """The parsed content of `data/<name>.yaml`. Callers must not change it."""
    return yaml.safe_load(read_text("data", f"{name}.yaml"))
