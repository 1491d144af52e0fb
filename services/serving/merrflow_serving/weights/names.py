"""Names in errors: the first of many, and what a checkpoint's file would have called a tensor that it lacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

_NUMBERS = re.compile(r"(?<![A-Za-z\d])\d+(?![A-Za-z\d])")  # a layer's number, not the 1 of "fc1"
LISTED = 12  # names that an error lists


def listed(names: Sequence[str], most: int = LISTED) -> str:
    """The first names, and how many there are if there are more."""
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def in_the_files_words(
    missing: Iterable[str], source: Mapping[str, str], keys: Iterable[str], rename: Callable[[str], str | None]
) -> list[str]:
    """The file's names for the module's `missing` names; the module's own, marked as such, if none can be guessed.

    source: the module's name -> the file's, of all that were found. A name is guessed by analogy: as another layer's
    tensor of the same kind is called, or as the same module's other tensor is; a guess counts only if `rename` maps
    it to the missing name.
    """
    keys = set(keys)
    by_shape: dict[str, list[str]] = {}
    by_owner: dict[str, list[str]] = {}
    for name in source:
        by_shape.setdefault(_NUMBERS.sub("#", name), []).append(name)
        by_owner.setdefault(name.rpartition(".")[0], []).append(name)
    found = []
    for name in missing:
        owner, _, leaf = name.rpartition(".")
        guesses = [_renumber(source[like], like, name) for like in by_shape.get(_NUMBERS.sub("#", name), ())[:3]]
        guesses += [source[like].rpartition(".")[0] + "." + leaf for like in by_owner.get(owner, ())]
        guesses += _from_cousins(name, source)
        guesses.append(name)
        fit = [one for one in guesses if one not in keys and _maps(rename, one, name)]
        found.append(fit[0] if fit else f"{name} (the model's name)")
    return found


def _renumber(key: str, like: str, name: str) -> str:
    """`key` with the numbers in which `name` differs from `like`."""
    swap = {old: new for old, new in zip(_NUMBERS.findall(like), _NUMBERS.findall(name), strict=True) if old != new}
    return _NUMBERS.sub(lambda match: swap.get(match.group(), match.group()), key)


def _from_cousins(name: str, source: Mapping[str, str]) -> list[str]:
    """The longest common beginning of module names carries the longest common beginning of file names."""
    parts = name.split(".")
    for depth in range(len(parts) - 1, 0, -1):
        head = ".".join(parts[:depth]) + "."
        tail = ".".join(parts[depth:])
        near = [(have, key) for have, key in source.items() if have.startswith(head)]
        guesses = []
        for have, key in near[:8]:
            rest = have[len(head) :]
            if key.endswith(rest):
                guesses.append(key[: len(key) - len(rest)] + tail)
        if guesses:
            return guesses
    return []


def _maps(rename: Callable[[str], str | None], key: str, name: str) -> bool:
    try:
        return rename(key) == name
    except Exception:  # a rename may be strict about names it does not know
        return False
