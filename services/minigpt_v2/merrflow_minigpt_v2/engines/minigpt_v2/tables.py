"""Checkpoint tables: are all names there, and tensors that are put together from several of a file's."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from merrflow_serving.errors import NotReady

if TYPE_CHECKING:
    import torch

LISTED = 8  # names in an error message; the rest is counted


def demand(present: Collection[str], required: Collection[str], *, ignored: Callable[[str], bool], origin: str) -> None:
    """Raises `NotReady` naming each required key that a file lacks and each key it should not have."""
    missing = [key for key in required if key not in present]
    wanted = frozenset(required)
    unexpected = [key for key in present if key not in wanted and not ignored(key)]
    if missing or unexpected:
        told = [f"{word}: {_listed(keys)}" for word, keys in (("missing", missing), ("unexpected", unexpected)) if keys]
        raise NotReady(
            f"{origin} is not the file that MiniGPT-v2 was published with; {'; '.join(told)}. Get the file again",
            reason="MODEL_MISMATCH",
        )


def shaped(tensors: Mapping[str, torch.Tensor], key: str, shape: Iterable[int], origin: str) -> torch.Tensor:
    """A tensor of the file. Raises `NotReady` where it has another shape."""
    tensor, wanted = tensors[key], tuple(shape)
    if tuple(tensor.shape) != wanted:
        raise NotReady(
            f"{origin}: {key} has the shape {tuple(tensor.shape)}, MiniGPT-v2 needs {wanted}. Get the file again",
            reason="MODEL_MISMATCH",
        )
    return tensor


class Composed(Mapping[str, "torch.Tensor"]):
    """A file's tensors with some replaced by what is computed from several; each is read only when asked for."""

    def __init__(
        self,
        source: Mapping[str, torch.Tensor],
        keys: Iterable[str],
        made: Mapping[str, Callable[[], torch.Tensor]],
    ) -> None:
        """keys: those of `source` to pass on. made: how to get each further or replaced one."""
        self._source = source
        self._made = dict(made)
        self._keys = list(dict.fromkeys([*keys, *self._made]))

    def __getitem__(self, key: str) -> torch.Tensor:
        return self._made[key]() if key in self._made else self._source[key]

    def shape(self, key: str) -> tuple[int, ...]:
        """Without reading what the file tells by its header alone."""
        shape = getattr(self._source, "shape", None)
        if key in self._made or shape is None:
            return tuple(self[key].shape)
        return tuple(shape(key))

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(keys[:LISTED]) + more
