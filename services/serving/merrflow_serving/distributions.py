"""Entry points of other distributions: where they come from, and what their code raises, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint

from merrflow_serving.errors import one_line


def source_of(point: EntryPoint) -> str:
    """The distribution that has an entry point, and the version of that, such as "acme-echo 0.1.0"."""
    found = point.dist
    return f"{found.name} {found.version}" if found is not None else "an unknown distribution"


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
