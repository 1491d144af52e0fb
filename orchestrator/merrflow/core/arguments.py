"""Arguments as Python users give them: one line for what is of another type or of no use."""

from __future__ import annotations

import os
from collections.abc import Iterable
from numbers import Integral
from pathlib import Path

from merrflow.core.errors import InputError, listed
from merrflow.core.paths import path_text
from merrflow_serving.errors import is_unicode


def unusable(name: str, wanted: str, given: object) -> InputError:
    """The error for an argument, such as "out: a path is wanted, not None"."""
    return InputError(f"{name}: {wanted} is wanted, not {listed([repr(given)], 80)}")


def as_path(name: str, given: object) -> Path:
    """The argument as a path. Raises `InputError` that names it, also for an empty text, which Python would take for
    the current folder."""
    if isinstance(given, str | os.PathLike):
        text = os.fspath(given)
        if isinstance(text, str) and text and "\0" not in text and is_unicode(path_text(Path(text))):
            return Path(text)
    raise unusable(name, "a path", given)


def as_paths(name: str, given: object) -> list[Path]:
    """One path, or several, as a list."""
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | os.PathLike):
        return [as_path(name, one) for one in given]
    return [as_path(name, given)]


def as_text(name: str, given: object) -> str:
    """The argument as a text that a message can hold. Raises `InputError` that names it."""
    if isinstance(given, str) and is_unicode(given):
        return given
    raise unusable(name, "a text", given)


def as_texts(name: str, given: object) -> tuple[str, ...]:
    """Several texts; one text is not taken for a list of its letters. Raises `InputError` that names the argument."""
    if isinstance(given, Iterable) and not isinstance(given, str | bytes):
        found = tuple(given)
        if all(isinstance(one, str) and is_unicode(one) for one in found):
            return found
        given = found
    raise unusable(name, "a list of texts", given)


def as_seed(name: str, given: object) -> int:
    """The argument as a seed of the services. Raises `InputError` that names it."""
    if isinstance(given, Integral) and 0 <= int(given) < 2**64:
        return int(given)
    raise unusable(name, "a whole number from 0 to 2**64 - 1", given)
