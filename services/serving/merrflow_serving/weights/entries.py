"""The table of weights: `weights.yaml`, read once and validated."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Annotated, Any, Self

import yaml
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

from merrflow_serving.errors import InvalidInput
from merrflow_serving.weights.places import HUBS, Hub, Source

# Enough of a repository for transformers' own class of a language model or of speech recognition: neither another
# framework's copy of the same weights nor one in another number format (`model.fp32-00001-of-00002.safetensors`).
MODEL_PATTERNS = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "normalizer.json",
    "chat_template*",
    "vocab.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
)
# Weights of transformers' classes, in every form that is read.
ANY_WEIGHTS = (
    "model*.safetensors",
    "model.safetensors.index.json",
    "pytorch_model*.bin",
    "pytorch_model.bin.index.json",
)
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_STRICT = ConfigDict(extra="forbid")


def is_plain(name: str) -> bool:
    """True for a relative path that stays within its folder."""
    return bool(name) and not name.startswith(("/", "\\")) and ".." not in name.split("/") and "\0" not in name


def _plain(name: str) -> str:
    if not is_plain(name):
        raise ValueError(f"{name!r} is not a path within the folder")
    return name


@dataclass(frozen=True, config=_STRICT)
class WeightFile:
    """One file of an entry, as the table or a hub describes it."""

    name: Annotated[str, AfterValidator(_plain)]  # path within the folder, with "/"
    size: int | None = None  # bytes; None: no public source says
    sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""  # hexadecimal; "": no public source says
    needed: bool = True  # False: pulled if the repository has it
    url: str = ""  # from the web: its own address; "": the repository's, and the name


@dataclass(frozen=True, config=_STRICT)
class Repository:
    """Where a hub keeps an entry."""

    id: str  # "organisation/name"
    revision: str  # a commit if it is known, else a branch
    gated: bool = False  # the hub asks for a login and an accepted licence
    url: str = ""  # from the web: the address of its folder, with a slash at the end


@dataclass(frozen=True, config=_STRICT)
class Entry:
    """One set of weights that is pulled, verified and licensed as a whole."""

    name: str  # of its folder below models_dir
    service: str = ""  # as in the catalog
    engines: tuple[str, ...] = ()  # of that service
    purpose: str = ""
    licence: str = ""  # SPDX identifier if there is one
    licence_url: str = ""
    outputs: str = ""  # what the licence says about the use of what the model writes
    asks: bool = False  # pulled only by somebody who says that the licence is accepted
    repositories: Mapping[Source, Repository] = Field(default_factory=dict)  # by hub; empty: downloaded by hand
    files: tuple[WeightFile, ...] = ()
    patterns: tuple[str, ...] = ()  # instead of files, if only the repository knows them
    approximate_bytes: int = 0  # for the disk, if sizes are not known exactly
    steps: tuple[str, ...] = ()  # how a person gets files that no hub has; {folder} is filled in
    note: str = ""

    @model_validator(mode="after")
    def _can_be_had(self) -> Self:
        if not self.repositories and not self.steps:
            raise ValueError("neither a repository nor steps")
        return self

    def in_any_form(self) -> Entry:
        """The same model as somebody else keeps it: another revision, its weights in other shards or as pickles.

        Sizes and sha256 protect what is pulled. They say nothing of files that a person names.
        """
        own = [file for file in self.files if not _matches(file.name, ANY_WEIGHTS)]
        of_transformers = len(own) < len(self.files) or not set(ANY_WEIGHTS).isdisjoint(self.patterns)
        files = tuple(WeightFile(file.name, needed=file.needed) for file in own)
        return replace(self, files=files, patterns=self.patterns + ANY_WEIGHTS * of_transformers)

    def source(self, hub: Hub) -> tuple[Source, Repository] | None:
        """Where it is pulled from if `hub` is chosen; None if that hub does not have it."""
        for source in (hub, "web"):
            if source in self.repositories:
                return source, self.repositories[source]
        return None

    @property
    def gated(self) -> bool:
        """True if its authors' hub asks for a login and an accepted licence."""
        return any(repository.gated for repository in self.repositories.values())

    @property
    def bytes(self) -> int:
        """What it takes on the disk: exact if all sizes are known."""
        sizes = [file.size for file in self.files if file.needed]
        return sum(size for size in sizes if size) if sizes and None not in sizes else self.approximate_bytes

    def wants(self, name: str) -> bool:
        """Whether a file of the repository belongs to this entry."""
        return any(file.name == name for file in self.files) or _matches(name, self.patterns)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def groups() -> Mapping[str, tuple[str, ...]]:
    """Names for several entries together."""
    return MappingProxyType({name: tuple(members) for name, members in _document()["groups"].items()})


def members(names: Iterable[str]) -> list[str]:
    """The same names, each once, with the entries of a group instead of it."""
    return list(dict.fromkeys(one for name in names for one in groups().get(name, (name,))))


@cache
def _document() -> Any:
    return yaml.safe_load((files(__package__) / "weights.yaml").read_text(encoding="utf-8"))


@cache
def entries() -> Mapping[str, Entry]:
    """All entries by name. Raises pydantic's `ValidationError` with the entry and field at fault."""
    document = _document()
    named = {name: {"name": name, **fields} for name, fields in document["entries"].items()}
    return MappingProxyType(TypeAdapter(dict[str, Entry]).validate_python(named))


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
            purpose="a model named by its repository",
            licence="see the repository",
            repositories={hub: Repository(repository, revision) for hub in HUBS},
            patterns=MODEL_PATTERNS,
        )
    raise InvalidInput(
        f"there are no weights {name!r}; there are: {', '.join(entries())}, the group "
        f"{', '.join(groups())}, or a repository as organisation/name"
    )
