"""Classes that other distributions add to merrflow, found by entry point.

merrflow's own classes are entry points too, written down in the sources, so that a built-in class and one from outside
are found, loaded and checked by the same code. Nothing is imported before `load`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from inspect import isabstract
from typing import ClassVar, Generic, Protocol, TypeVar

from merrflow.core.errors import InputError
from merrflow_serving.distributions import blamed, points_of, source_of
from merrflow_serving.errors import MerrflowError, as_line


class Pluggable(Protocol):
    """What a class that can be plugged in says of itself."""

    name: ClassVar[str]  # as the entry point is called
    about: ClassVar[str]  # one line for help and documentation


Kind = TypeVar("Kind", bound=Pluggable)
FILTERS, EXPORTS = "merrflow.filters", "merrflow.exports"  # groups of entry points


@dataclass(frozen=True)
class Plugin(Generic[Kind]):
    """One class that can be loaded: built in, or of another distribution."""

    kind: str  # what it is, for messages: "filter"
    point: EntryPoint
    built_in: bool

    @property
    def source(self) -> str:
        """Where it comes from: "merrflow", or distribution and version, such as "acme-filters 1.0"."""
        return "merrflow" if self.built_in else source_of(self.point)

    def __str__(self) -> str:
        return f"the {self.kind} {self.point.name!r} of {self.source}"

    def load(self, base: type[Kind]) -> type[Kind]:
        """The class. Raises `InputError` with one line if it cannot be imported, or is not a complete `base`."""
        with blamed(f"{self} cannot be imported from {self.point.value!r}", InputError), redirect_stdout(sys.stderr):
            found = self.point.load()
        with self.blamed():
            return self._checked(found, base)

    def _checked(self, found: object, base: type[Kind]) -> type[Kind]:
        if not (isinstance(found, type) and issubclass(found, base)):
            raise self.fault(f"is not a subclass of {base.__module__}.{base.__qualname__}")
        if isabstract(found):
            raise self.fault(f"does not define {', '.join(sorted(found.__abstractmethods__))}")
        missing = [key for key in ("name", "about") if not isinstance(getattr(found, key, None), str)]
        if missing:
            raise self.fault(f"does not define {', '.join(missing)}")
        if found.name != self.point.name:
            raise self.fault(f"calls itself {found.name!r}; the entry point must have the same name")
        if not found.about or found.about != as_line(found.about):
            raise self.fault("describes itself in `about` with something other than one line of text")
        return found

    def fault(self, problem: str) -> InputError:
        """What is wrong with the class, as an error that names the plug-in."""
        return InputError(f"{self} cannot be used: {self.point.value!r} {problem}")

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Raises what the code of others raises as `InputError` with one line that names the plug-in.

        Errors of built-in classes and those that are meant for users pass as they are. What others print goes to
        standard error, because commands print JSON.
        """
        if self.built_in:
            yield
            return
        with blamed(f"{self} failed", InputError, (InputError, MerrflowError)), redirect_stdout(sys.stderr):
            yield


def find_plugins(group: str, kind: str, built_in: Mapping[str, str]) -> dict[str, Plugin[Kind]]:
    """Plug-ins by name: the built-in ones in their order, then those of other distributions in order of name.

    group: of the entry points. kind: what they are, for messages. built_in: name -> "module:Class".
    Raises `InputError` with one line if two have the same name.
    """
    found = {name: Plugin[Kind](kind, EntryPoint(name, value, group), True) for name, value in built_in.items()}
    others = [Plugin[Kind](kind, point, False) for point in points_of(group)]
    for one in sorted(others, key=lambda plugin: (plugin.point.name, plugin.source)):
        first = found.setdefault(one.point.name, one)
        if first.built_in:
            raise InputError(f"{one} has the name of a built-in {kind}; rename it, or uninstall {one.source}")
        if first is not one:
            raise InputError(f"{first} and that of {one.source} have the same name; uninstall one of them")
    return found
