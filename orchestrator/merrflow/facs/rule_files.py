"""Reads rule sets from YAML files: those of the package, and people's own."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from merrflow.core.datafile import DataFileError, Fault, read
from merrflow.core.paths import expanded
from merrflow.facs import soundness
from merrflow.facs.rules import RuleSet

SUFFIXES = (".yaml", ".yml")


def packaged_rules() -> tuple[str, ...]:
    """The names of the rule sets that come with the package."""
    return tuple(sorted(Path(entry.name).stem for entry in _folder().iterdir() if entry.name.endswith(".yaml")))


def load_rules(name_or_path: str | Path = "default") -> RuleSet:
    """A rule set of the package, or a user's own file (a path to .yaml or .yml), checked together with its lexicon.

    Raises DataFileError, which names every fault by file, line and value.
    """
    path = expanded(name_or_path)
    if path.suffix in SUFFIXES:
        return _read(path, path.parent)
    return _packaged(str(name_or_path))


def _folder() -> Traversable:
    return files("merrflow.facs") / "rulesets"


@cache
def _packaged(name: str) -> RuleSet:
    names = packaged_rules()
    if name not in names:
        choice = f"{', '.join(names[:-1])} or {names[-1]}"
        raise DataFileError(f"there is no rule set {name!r}: choose {choice}, or give a .yaml file")
    return _read(_folder() / f"{name}.yaml", Path())


def _read(path: Path | Traversable, folder: Path) -> RuleSet:
    return read(path, RuleSet, partial(_faults, folder=folder)).with_folder(folder)


def _faults(rules: RuleSet, folder: Path) -> Iterator[Fault]:
    """Faults between the rules of a set; if there are none, those of its lexicon."""
    found = list(soundness.of_set(rules))
    yield from found or _lexicon_faults(rules.with_folder(folder))


def _lexicon_faults(rules: RuleSet) -> Iterator[Fault]:
    file = rules.own_lexicon
    if file is not None and not file.is_file():
        yield Fault(("lexicon",), f"there is no file {file}")
        return
    try:
        lexicon = rules.phrases()
    except DataFileError as error:
        if file is not None:
            raise  # it names its own file and line
        yield Fault(("lexicon",), str(error))
        return
    yield from soundness.without_phrase(rules, lexicon)
