"""Prompt files: versioned YAML, packaged with a service or a user's own, and what identifies one in a record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from merrflow_serving.errors import NotReady, first_fault

Kind = TypeVar("Kind", bound="PromptFile")


class Strict(BaseModel):
    """Base of what is read from a file: frozen, and a mistyped key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptFile(Strict):
    """What all prompt files have. A subclass adds its fields."""

    name: str
    version: str
    digest: str = ""  # of this file

    def also_hashed(self) -> Iterable[str]:
        """The text of other files that shape an answer."""
        return ()

    def stamp(self, **parameters: object) -> str:
        """ "<name>@<version>+<hash>": the hash of all that shapes an answer besides the model and the code.

        It covers this file, `also_hashed` and the parameters given, so that a text is never attributed to a prompt that
        has changed since.
        """
        digest = hashlib.sha256(self.digest.encode())
        for text in self.also_hashed():
            digest.update(text.encode())
        digest.update(repr(sorted(parameters.items())).encode())
        return f"{self.name}@{self.version}+{digest.hexdigest()[:8]}"


def read_prompt(name: str, kind: type[Kind], folder: Traversable, packaged: str) -> Kind:
    """A prompt file as `kind`: one of `folder` by name, or any by the path of its YAML file.

    packaged: the names of packaged ones, for the error. Raises `NotReady` that says what is wrong if it cannot be used.
    """
    path = Path(name)
    try:
        data = path.read_bytes() if path.suffix else (folder / f"{name}.yaml").read_bytes()
    except OSError as error:
        raise NotReady(f"the prompt {name!r} cannot be read; give {packaged} or the path of a YAML file") from error
    try:
        return kind.model_validate({**yaml.safe_load(data), "digest": hashlib.sha256(data).hexdigest()})
    except ValidationError as error:
        raise NotReady(f"the prompt {name!r} cannot be used: {first_fault(error, 'file')}") from error
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        raise NotReady(f"the prompt {name!r} is not a YAML file of the right form: {error}") from error
