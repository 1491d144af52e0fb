"""Entry points of other distributions: where they come from, and what their code raises, in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, distributions, entry_points

from merrflow_serving.errors import one_line

log = logging.getLogger(__name__)


def points_of(group: str) -> list[EntryPoint]:
    """All entry points of a group. Distributions that cannot be read are passed over with a warning each."""
    try:
        return list(entry_points(group=group))
    except Exception:  # it does not say which of them it is
        found: dict[str, list[EntryPoint]] = {}
        for one in distributions():
            try:
                found.setdefault(one.metadata["Name"].lower().replace("_", "-"), list(one.entry_points))
            except Exception as error:
                where = getattr(one, "_path", "a distribution")  # no public name has it
                log.warning("%s cannot be read, and is passed over: %s", where, one_line(error))
        return [point for points in found.values() for point in points if point.group == group]


def source_of(point: EntryPoint) -> str:
    """The distribution that has an entry point, and the version of that, such as "acme-echo 0.1.0"."""
    try:
        found = point.dist and f"{point.dist.name} {point.dist.version}"
    except Exception:  # its metadata cannot be read
        found = None
    return found or "an unknown distribution"


@contextmanager
def blamed(culprit: str, kind: type[Exception], passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Raises whatever code of other distributions raises as `kind`, in one line that begins with `culprit`.

    passing: errors that pass as they are. Ctrl-C does, too.
    """
    try:
        yield
    except BaseException as error:  # such as the SystemExit of a library that finds no licence
        if isinstance(error, (KeyboardInterrupt, *passing)):
            raise
        raise kind(f"{culprit}: {one_line(error)}") from error
