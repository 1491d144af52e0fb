"""Reads the package's YAML files: prompts, lexicon, phrases, check rules."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from merrflow_serving.errors import NotReady, first_fault

PACKAGE = "merrflow_llama3"
Kind = TypeVar("Kind", bound=BaseModel)


@cache
def read_text(folder: str, name: str) -> str:
    """The text of `<folder>/<name>` in this package."""
    return (files(PACKAGE) / folder / name).read_text(encoding="utf-8")


@cache
def read_data(name: str) -> Any:
    """The parsed content of `data/<name>.yaml`. Callers must not change it."""
    return yaml.safe_load(read_text("data", f"{name}.yaml"))


def read_as(name: str, kind: type[Kind]) -> Kind:
    """`data/<name>.yaml` as a `kind`. Raises `NotReady` that names the wrong entry."""
    try:
        return kind.model_validate(read_data(name))
    except ValidationError as error:
        raise NotReady(f"data/{name}.yaml: {first_fault(error)}") from error
