"""The keys of a checkpoint: checks that all are there, and views that compute some tensors from several others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from merrflow_serving.errors import NotReady
from merrflow_serving.weights.checkpoint import warn_unused

if TYPE_CHECKING:
    import torch

LISTED = 8  # names in an error message; the rest is counted


def check_keys(
    present: Collection[str], required: Collection[str], *, ignored: Callable[[str], bool], origin: str
) -> None:
    """Raises `NotReady` naming each key that is missing in a file, and those that it should not have.

    If none is missing, the others are a warning: the authors' code passes them over too (`strict=False`).
    """
    missing = [key for key in required if key not in present]
    wanted = frozenset(required)
    unexpected = [key for key in present if key not in wanted and not ignored(key)]
    if missing:
        lists = [
            f"{word}: {_listed(keys)}" for word, keys in (("missing", missing), ("unexpected", unexpected)) if keys
        ]
        raise NotReady(
            f"{origin} does not have the tensors of MiniGPT-v2; {'; '.join(lists)}. Get the file again",
            reason="MODEL_MISMATCH",
        )
    warn_unused(unexpected, origin)


def tensor_of_shape(tensors: Mapping[str, torch.Tensor], key: str, shape: Iterable[int], origin: str) -> torch.Tensor:
    """A tensor of the file. Raises `NotReady` if it has another shape."""
    tensor, wanted = tensors[key], tuple(shape)
    if tuple(tensor.shape) != wanted:
        raise NotReady(
            f"{origin}: {key} has the shape {tuple(tensor.shape)}, MiniGPT-v2 needs {wanted}. Get the file again",
            reason="MODEL_MISMATCH",
        )
    return tensor


class ComposedTensors(Mapping[str, "torch.Tensor"]):
    """A file's tensors, some of them computed from several others; each is read or computed only when it is used."""

    def __init__(
        self,
        source: Mapping[str, torch.Tensor],
        keys: Iterable[str],
        computed: Mapping[str, Callable[[], torch.Tensor]],
    ) -> None:
        """keys: those of `source` to pass on. computed: how to compute each additional or replaced one."""
        self._source = source
        self._computed = dict(computed)
        self._keys = list(dict.fromkeys([*keys, *self._computed]))

    def __getitem__(self, key: str) -> torch.Tensor:
        return self._computed[key]() if key in self._computed else self._source[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - LISTED} more" if len(keys) > LISTED else ""
    return ", ".join(keys[:LISTED]) + more
