"""The table of weights: `weights.yaml`, read once and checked."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

from merrflow_serving.errors import InvalidInput
from merrflow_serving.weights.places import HUBS

# Enough of a repository to load a causal language model: no other framework's copy of the same weights.
CAUSAL_LM_PATTERNS = (
    "config.json",
    "generation_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "chat_template*",
    "vocab.json",
    "merges.txt",
)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


@dataclass(frozen=True)
class WeightFile:
    """One file of an entry."""

    name: str  # path within the folder, with "/"
    size: int | None = None  # bytes; None where no public source tells it
    sha256: str = ""  # 64 hex digits; "" where no public source tells it
    needed: bool = True  # False: taken along where the repository has it


@dataclass(frozen=True)
class Repository:
    """Where a hub keeps an entry."""

    id: str  # "organisation/name"
    revision: str  # a commit where it is known, else a branch
    gated: bool = False  # the hub asks for a login and an accepted licence


@dataclass(frozen=True)
class Entry:
    """One set of weights that is had, checked and licensed as a whole."""

    name: str  # of its folder below models_dir
    service: str = ""  # as in the catalog
    engines: tuple[str, ...] = ()  # of that service
    purpose: str = ""
    licence: str = ""  # SPDX identifier where there is one
    licence_url: str = ""
    outputs: str = ""  # what the licence says about the use of what the model writes
    repositories: Mapping[str, Repository] = field(default_factory=dict)  # by hub; none: had by hand
    files: tuple[WeightFile, ...] = ()
    patterns: tuple[str, ...] = ()  # instead of files, where only the repository knows them
    approximate_bytes: int = 0  # for the disk, where sizes are not known exactly
    steps: tuple[str, ...] = ()  # how a person gets the files where no hub has them; {folder} is filled in
    note: str = ""

    @property
    def gated(self) -> bool:
        """True where its authors' hub asks for a login and an accepted licence."""
        return any(place.gated for place in self.repositories.values())

    @property
    def bytes(self) -> int:
        """What it takes on the disk: exact where all sizes are known."""
        sizes = [file.size for file in self.files if file.needed]
        return sum(size for size in sizes if size) if sizes and None not in sizes else self.approximate_bytes

    def wants(self, name: str) -> bool:
        """Whether a file of the repository belongs to this entry."""
        return any(file.name == name for file in self.files) or any(
            fnmatch.fnmatchcase(name, pattern) for pattern in self.patterns
        )


class WeightTableError(ValueError):
    """`weights.yaml` is not what it must be: a fault of the package."""


@cache
def entries() -> Mapping[str, Entry]:
    """All entries by name. Raises `WeightTableError` with the entry and field at fault."""
    document = yaml.safe_load((files(__package__) / "weights.yaml").read_text(encoding="utf-8"))
    return MappingProxyType({name: _read(name, fields) for name, fields in document["entries"].items()})


def entry(name: str) -> Entry:
    """The entry of that name, or one made up for a repository "organisation/name[@revision]" of the chosen hub.

    Raises `InvalidInput` that lists the entries.
    """
    if name in entries():
        return entries()[name]
    if _REPOSITORY.fullmatch(name) and ".." not in name:
        repository, _, revision = name.partition("@")
        return Entry(
            name=repository.replace("/", "--") + (f"@{revision.replace('/', '--')}" if revision else ""),
            purpose="a causal language model named by its repository",
            licence="see the repository",
            repositories={hub: Repository(repository, revision) for hub in HUBS},
            patterns=CAUSAL_LM_PATTERNS,
        )
    raise InvalidInput(
        f"there are no weights {name!r}; there are: {', '.join(entries())}, or a repository as organisation/name"
    )


def _read(name: str, fields: Mapping[str, Any]) -> Entry:
    fields = dict(fields)
    try:
        repositories = {hub: Repository(**place) for hub, place in fields.pop("repositories", {}).items()}
        listed = tuple(WeightFile(**file) for file in fields.pop("files"))
        lists = {key: tuple(fields.pop(key, ())) for key in ("engines", "patterns", "steps")}
        found = Entry(name=name, repositories=repositories, files=listed, **lists, **fields)
    except (TypeError, KeyError) as error:
        raise WeightTableError(f"weights.yaml, {name}: {error}") from error
    problems = [f"{hub} is no hub" for hub in repositories if hub not in HUBS]
    problems += [f"{file.name}: sha256 has 64 hex digits" for file in listed if not _is_sha(file.sha256)]
    problems += [f"{file.name}: not a relative path" for file in listed if not is_plain(file.name)]
    if not repositories and not found.steps:
        problems.append("neither a repository nor steps")
    if problems:
        raise WeightTableError(f"weights.yaml, {name}: {'; '.join(problems)}")
    return found


def _is_sha(text: str) -> bool:
    return not text or bool(re.fullmatch(r"[0-9a-f]{64}", text))


def is_plain(name: str) -> bool:
    """True for a path that stays within its folder."""
    return bool(name) and not name.startswith(("/", "\\")) and ".." not in name.split("/") and "\0" not in name
